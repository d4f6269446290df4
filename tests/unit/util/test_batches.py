from api.util.batches import in_batches


def test_items_are_split_in_order():
    assert [*in_batches("abcde", 2)] == ["ab", "cd", "e"]
    assert [*in_batches([1, 2, 3, 4], 2)] == [[1, 2], [3, 4]]
    assert [*in_batches((), 2)] == []
