from api.util.deadlines import at_most, has_wait_limit, shared_wait_limit, time_left, wait_limit


def test_no_limit_is_set_by_default():
    with shared_wait_limit():
        assert (has_wait_limit(), time_left(), at_most(4)) == (False, None, 4)


def test_remaining_time_shortens_a_wait_and_never_lengthens_it():
    with wait_limit(100), shared_wait_limit():
        assert 90 < at_most(1000) <= 100
        assert at_most(4) == 4


def test_shorter_limit_applies_in_either_nesting():
    for outer, inner in ((100, 5), (5, 100)):
        with wait_limit(outer), wait_limit(inner), shared_wait_limit():
            assert at_most(1000) <= 5


def test_remaining_time_is_never_negative():
    with wait_limit(0), shared_wait_limit():
        assert time_left() == 0


def test_limit_ends_with_its_block():
    with wait_limit(1):
        pass
    assert not has_wait_limit()
