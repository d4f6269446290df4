import pytest

from api.jobs.downloads.refusal import StopAsked
from api.jobs.downloads.waiting import PATIENCE_SECONDS, Patience, wait


def test_waiting_takes_its_time_in_short_naps_and_ends_when_it_shall_stop():
    naps: list[float] = []
    wait(1.2, lambda: False, naps.append)
    assert naps == pytest.approx([0.5, 0.5, 0.2])
    with pytest.raises(StopAsked):
        wait(60.0, lambda: len(naps) > 4, naps.append)
    assert len(naps) == 5


@pytest.mark.parametrize("asked", [None, 0.0, 1.0, 45.0])
def test_patience_lasts_for_minutes_whatever_the_server_asks_for(asked: float | None):
    naps: list[float] = []
    patience = Patience(lambda: False, naps.append)
    while not patience.is_exhausted:
        patience.wait(asked)
    assert PATIENCE_SECONDS <= sum(naps) < PATIENCE_SECONDS + 60


def test_progress_gives_the_whole_patience_again():
    naps: list[float] = []
    patience = Patience(lambda: False, naps.append)
    for _ in range(1000):
        patience.wait()
        patience.note_progress()
    assert not patience.is_exhausted
    assert sum(naps) == 1000
