import pytest

from api.trainers.downloads.refusal import StopAsked
from api.trainers.downloads.waiting import wait


def test_waiting_takes_its_time_in_short_naps_and_ends_when_it_shall_stop():
    naps: list[float] = []
    wait(1.2, lambda: False, naps.append)
    assert naps == pytest.approx([0.5, 0.5, 0.2])
    with pytest.raises(StopAsked):
        wait(60.0, lambda: len(naps) > 4, naps.append)
    assert len(naps) == 5
