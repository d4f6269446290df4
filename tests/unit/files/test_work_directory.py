from pathlib import Path

import pytest

from api.files.work_directory import BACKUP, RESTORE, remove_abandoned, work_directory


@pytest.mark.parametrize("left", [BACKUP, RESTORE])
def test_leftovers_of_a_killed_command_are_removed_by_the_next(tmp_path: Path, left: str):
    (tmp_path / f"{left}x").mkdir()
    (tmp_path / f"{left}x" / "database").write_bytes(b"a copy")
    with work_directory(BACKUP, tmp_path) as work:
        assert list(tmp_path.iterdir()) == [work]


def test_directory_in_use_stays(tmp_path: Path):
    with work_directory(RESTORE, tmp_path) as work:
        remove_abandoned(tmp_path)
        assert work.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_no_link_is_followed(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"{RESTORE}x").symlink_to(elsewhere)
    remove_abandoned(tmp_path)
    assert elsewhere.is_dir()
