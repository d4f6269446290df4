"""How many times something was counted by a histogram of the process; tests in parallel threads of others do not matter
to its labels.
"""

from api.util.histogram import Histogram


def observed(histogram: Histogram, *labels: str) -> float:
    """The count of these labels so far."""
    (family,) = histogram.collect()
    wanted = dict(zip(histogram.labels, labels, strict=True))
    return sum(each.value for each in family.samples if each.name.endswith("_count") and each.labels == wanted)
