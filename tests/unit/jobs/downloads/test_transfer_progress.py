import json
from pathlib import Path
from typing import Any

import pytest

from api.jobs.downloads import transfer_progress
from api.jobs.downloads.transfer_progress import SPEED_SECONDS, TransferProgress


class Halves(TransferProgress):
    """Two files of 100 bytes, of which none was there."""

    total = 200

    def bring(self, count: int) -> None:
        self._moved += count
        self._done[0] += count
        self.say()

    def _describe(self) -> dict[str, Any]:
        return {"files": []}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [100.0]
    monkeypatch.setattr(transfer_progress.time, "monotonic", lambda: at[0])
    return at


def test_the_speed_is_that_of_the_last_seconds_and_tells_what_is_left(tmp_path: Path, now: list[float]):
    progress, state = Halves(2, tmp_path / "state.json"), tmp_path / "state.json"
    progress.say()
    assert json.loads(state.read_text())["bytes_per_second"] is None
    for _ in range(3):
        now[0] += 2
        progress.bring(20)
    told = json.loads(state.read_text())
    assert (told["bytes_done"], told["bytes_per_second"], told["eta"]) == (60, 10.0, 14.0)
    now[0] += SPEED_SECONDS + 1
    progress.bring(0)
    assert json.loads(state.read_text())["bytes_per_second"] is None


def test_it_is_said_once_a_second(tmp_path: Path, now: list[float], capsys: pytest.CaptureFixture[str]):
    progress = Halves(2, tmp_path / "state.json")
    for _ in range(4):
        progress.bring(1)
        now[0] += 0.4
    assert capsys.readouterr().out == "files: 0 of 2, 0.5 %, - s left\nfiles: 0 of 2, 2.0 %, 78 s left\n"
