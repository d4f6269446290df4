import statistics

from hypothesis import given
from hypothesis import strategies as st

from api.trainers.protocol.latest_median import LatestMedian


@given(st.lists(st.integers(0, 9), min_size=1, max_size=120))
def test_the_median_is_that_of_the_latest_fifty(values: list[int]):
    median = LatestMedian()
    found = [median.add(value) for value in values]
    assert found == [statistics.median(values[max(0, end - 50) : end]) for end in range(1, len(values) + 1)]


def test_it_goes_on_from_values_that_were_kept():
    assert LatestMedian([1, 2, 3]).add(9) == 2.5
    assert len(LatestMedian(range(1000)).latest) == LatestMedian.LIMIT
