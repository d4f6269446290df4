import json
from pathlib import Path

import pytest

from api.jobs.pushes.progress import PushProgress
from api.jobs.pushes.wish import PushedFile

FILES = (PushedFile("a", "w.safetensors", 100), PushedFile("b", "README.md", 20))


def test_state_says_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    progress = PushProgress(FILES, tmp_path / "state.json")
    progress.tell(0, 0, "pushing")
    progress.tell(0, 60, "pushing")
    progress.say(always=True)
    state = json.loads((tmp_path / "state.json").read_text())
    assert (state["bytes_done"], state["bytes_total"], state["files"][0]["sent"]) == (60, 120, 60)
    assert capsys.readouterr().out.splitlines()[-1].startswith("files: 0 of 2, 50.0 %")


def test_end_says_what_came_of_it(tmp_path: Path):
    progress = PushProgress(FILES, tmp_path / "state.json")
    progress.finish("c0ffee", "https://hub/ann/cats", is_new=False)
    state = json.loads((tmp_path / "state.json").read_text())
    assert (state["commit"], state["is_new"], state["bytes_done"]) == ("c0ffee", False, 120)
    assert {file["status"] for file in state["files"]} == {"completed"}
