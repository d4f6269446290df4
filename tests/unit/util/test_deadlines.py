from api.util.deadlines import at_most, hurrying, is_in_a_hurry, one_wait, time_left


def test_nobody_is_in_a_hurry_unless_told():
    with one_wait():
        assert (is_in_a_hurry(), time_left(), at_most(4)) == (False, None, 4)


def test_what_is_left_shortens_a_wait_and_never_lengthens_it():
    with hurrying(100), one_wait():
        assert 90 < at_most(1000) <= 100
        assert at_most(4) == 4


def test_shorter_bound_holds_within_a_longer_one_and_the_other_way_round():
    for outer, inner in ((100, 5), (5, 100)):
        with hurrying(outer), hurrying(inner), one_wait():
            assert at_most(1000) <= 5


def test_time_that_is_over_is_none_and_not_less():
    with hurrying(0), one_wait():
        assert time_left() == 0


def test_bound_ends_with_its_block():
    with hurrying(1):
        pass
    assert not is_in_a_hurry()
