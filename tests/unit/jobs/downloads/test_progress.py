import json
from pathlib import Path

import pytest

from api.jobs.downloads.fetch import RemoteFile
from api.jobs.downloads.progress import DownloadProgress

FILES = [RemoteFile("u", "o/m", "a", 300), RemoteFile("u", "o/m", "b", 100)]


def test_bytes_of_all_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    progress = DownloadProgress(FILES, tmp_path / "state.json")
    progress.tell(0, 150, "downloading")
    progress.finish(1, "/m/b")
    state = json.loads((tmp_path / "state.json").read_text())
    assert (state["bytes_total"], state["bytes_done"]) == (400, 250)
    assert [file["status"] for file in state["files"]] == ["downloading", "completed"]
    assert "files: 1 of 2, 62.5 %" in capsys.readouterr().out


def test_size_that_is_not_known_leaves_the_sum_unknown(tmp_path: Path):
    progress = DownloadProgress([RemoteFile("u", "o/m", "a", None)], tmp_path / "state.json")
    progress.say(always=True)
    state = json.loads((tmp_path / "state.json").read_text())
    assert (state["bytes_total"], state["eta"]) == (None, None)
