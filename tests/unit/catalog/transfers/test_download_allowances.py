"""The disk use of downloads."""

import json
from pathlib import Path

import pytest

from api.catalog.transfers.download_allowances import find_downloaded, write_allowances

DOWNLOAD = "dl_20260101_00000000"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    made = tmp_path / "tasks" / DOWNLOAD / "output"
    made.mkdir(parents=True)
    (tmp_path / "models" / ".incoming").mkdir(parents=True)
    return made


def find(root: Path, task_id: str = DOWNLOAD) -> dict[str, int]:
    return find_downloaded(root, root / "models", task_id)


def test_complete_and_incomplete_files_are_found_with_their_bytes(output: Path, tmp_path: Path):
    whole, part = tmp_path / "models" / "w.safetensors", tmp_path / "models" / ".incoming" / f"{'a' * 64}.part"
    whole.write_bytes(b"x" * 5000)
    part.write_bytes(b"x" * 9000)
    files = [
        {"path": str(whole), "part": "b" * 64},
        {"path": None, "part": "a" * 64},
        {"path": "/etc/passwd", "part": "../../secret"},
        {"path": None, "part": "c" * 64},
    ]
    (output / "state.json").write_text(json.dumps({"files": files}))
    assert find(tmp_path) == {str(each): 512 * each.stat().st_blocks for each in (whole, part)}
    assert find(tmp_path, "train_20260101_00000000") == {}


@pytest.mark.parametrize("state", ["", "[]", '{"files": 3}', '{"files": [3]}', '{"files": [{"path": 3, "part": 4}]}'])
def test_damaged_state_has_no_files(output: Path, tmp_path: Path, state: str):
    (output / "state.json").write_text(state)
    assert find(tmp_path) == {}


def test_allowance_is_written_for_owners_with_a_quota(output: Path, tmp_path: Path):
    write_allowances(tmp_path, [(DOWNLOAD, "ann"), ("dl_gone", "ann")], lambda owner: 7)
    assert json.loads((output / "allowance.json").read_text()) == {"bytes": 7}
    (output / "allowance.json").unlink()
    write_allowances(tmp_path, [(DOWNLOAD, "ann")], lambda owner: None)
    assert not (output / "allowance.json").exists()
