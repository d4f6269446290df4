import json
from pathlib import Path
from typing import Any

import pytest

from api.jobs.downloads import progress as progress_module
from api.jobs.downloads.progress import SPEED_SECONDS, TransferProgress


class Transfer:
    """The progress of files with these sizes, and its state file."""

    def __init__(self, directory: Path, *sizes: int | None) -> None:
        self._path = directory / "state.json"
        files = [{"name": str(number), "size": size} for number, size in enumerate(sizes)]
        self.progress = TransferProgress(files, self._path, "sent", "pushing")
        self.progress.report(always=True)

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._path.read_text())
        return state


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: at[0])
    return at


def test_bytes_of_all_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    transfer = Transfer(tmp_path, 300, 100)
    transfer.progress.update(0, 150, "pushing")
    transfer.progress.finish(1, path="/m/b")
    state = transfer.state
    assert (state["bytes_total"], state["bytes_done"]) == (400, 250)
    assert [file["status"] for file in state["files"]] == ["pushing", "completed"]
    assert state["files"][1]["path"] == "/m/b"
    assert "1 of 2 files, 62.5 %" in capsys.readouterr().out


def test_unknown_size_leaves_the_total_unknown(tmp_path: Path):
    state = Transfer(tmp_path, None, 10).state
    assert (state["bytes_total"], state["eta"]) == (None, None)


def test_finished_transfer_has_its_result(tmp_path: Path):
    transfer = Transfer(tmp_path, 100, 20)
    transfer.progress.finish_all(commit="c0ffee", is_new=False)
    state = transfer.state
    assert (state["commit"], state["is_new"], state["bytes_done"]) == ("c0ffee", False, 120)
    assert {file["status"] for file in state["files"]} == {"completed"}


def test_speed_is_that_of_the_last_seconds(tmp_path: Path, now: list[float]):
    transfer = Transfer(tmp_path, 100, 100)
    transfer.progress.update(0, 30, "pushing")  # existed before
    for done in (50, 70, 90):
        now[0] += 2
        transfer.progress.update(0, done, "pushing")
    state = transfer.state
    assert (transfer.progress.moved, state["bytes_per_second"], state["eta"]) == (60, 10.0, 11.0)
    now[0] += SPEED_SECONDS + 1
    transfer.progress.report()
    assert transfer.state["bytes_per_second"] is None


def test_progress_is_reported_once_a_second(tmp_path: Path, now: list[float], capsys: pytest.CaptureFixture[str]):
    transfer = Transfer(tmp_path, 100)
    transfer.progress.update(0, 0, "pushing")
    capsys.readouterr()
    for done in range(1, 6):
        now[0] += 0.4
        transfer.progress.update(0, done, "pushing")
    assert len(capsys.readouterr().out.splitlines()) == 1
