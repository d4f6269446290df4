import random
import statistics

from api.trainers.protocol.latest_median import LatestMedian


def test_the_median_is_that_of_the_latest_fifty():
    chance, median = random.Random(1), LatestMedian()
    values = [chance.randrange(100) for _ in range(200)]
    for end, value in enumerate(values, start=1):
        assert median.add(value) == statistics.median(values[max(0, end - 50) : end])


def test_it_goes_on_from_values_that_were_kept():
    assert LatestMedian([1, 2, 3]).add(9) == 2.5
    assert len(LatestMedian(range(1000)).latest) == LatestMedian.LIMIT
