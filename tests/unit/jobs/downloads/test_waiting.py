import pytest

from api.jobs.downloads.answers import PATIENCE_SECONDS, Patience, wait
from api.jobs.errors import StopRequested


def test_wait_is_split_and_ends_when_stopped():
    naps: list[float] = []
    wait(1.2, lambda: False, naps.append)
    assert naps == pytest.approx([0.5, 0.5, 0.2])
    with pytest.raises(StopRequested):
        wait(60.0, lambda: len(naps) > 4, naps.append)
    assert len(naps) == 5


@pytest.mark.parametrize("asked", [None, 0.0, 1.0, 45.0])
def test_total_wait_is_limited_for_any_requested_wait(asked: float | None):
    naps: list[float] = []
    patience = Patience(lambda: False, naps.append)
    while not patience.is_exhausted:
        patience.wait(asked)
    assert PATIENCE_SECONDS <= sum(naps) < PATIENCE_SECONDS + 60


def test_progress_resets_the_waits():
    naps: list[float] = []
    patience = Patience(lambda: False, naps.append)
    for _ in range(1000):
        patience.wait()
        patience.note_progress()
    assert not patience.is_exhausted
    assert sum(naps) == 1000
