from api.util.batches import in_batches


def test_items_come_in_their_order_so_many_at_a_time():
    assert [*in_batches("abcde", 2)] == ["ab", "cd", "e"]
    assert [*in_batches([1, 2, 3, 4], 2)] == [[1, 2], [3, 4]]
    assert [*in_batches((), 2)] == []
