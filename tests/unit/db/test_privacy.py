import logging
import os
import stat
from pathlib import Path

import pytest

from api.db.privacy import make_passable_storage, make_private_directory, tighten_sqlite


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directory_is_created_for_its_owner_only(tmp_path: Path):
    make_private_directory(tmp_path / "data")
    assert mode_of(tmp_path / "data") == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750, 0o711])
def test_open_directory_is_restricted_and_logged(tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture):
    tmp_path.chmod(mode)
    make_private_directory(tmp_path)
    assert mode_of(tmp_path) == 0o700
    [record] = caplog.records
    assert (record.levelno, f"{mode:04o}" in record.message) == (logging.WARNING, True)


def test_private_directory_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tmp_path.chmod(0o700)
    make_private_directory(tmp_path)
    assert caplog.records == []


def test_directory_of_another_user_is_unchanged_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    make_private_directory(tmp_path)
    assert mode_of(tmp_path) == 0o755
    assert "belongs to another user" in caplog.records[0].message


def test_shared_directory_is_unchanged_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tmp_path.chmod(0o1777)
    make_private_directory(tmp_path)
    assert mode_of(tmp_path) == 0o1777
    assert "shared system directory" in caplog.records[0].message


def test_database_of_an_older_version_is_restricted(tmp_path: Path):
    files = [tmp_path / f"database.sqlite{suffix}" for suffix in ("", "-wal", "-shm")]
    for file in files:
        file.touch(mode=0o644)
    tighten_sqlite(files[0])
    assert [mode_of(file) for file in files] == [0o600] * 3


def test_link_in_place_of_a_database_is_not_followed(tmp_path: Path):
    target = tmp_path / "target"
    target.touch(mode=0o644)
    (tmp_path / "database.sqlite-wal").symlink_to(target)
    tighten_sqlite(tmp_path / "database.sqlite")
    assert mode_of(target) == 0o644


def test_system_directory_is_never_restricted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(os, "geteuid", lambda: Path("/srv").stat().st_uid)
    monkeypatch.setattr(Path, "chmod", lambda path, mode: pytest.fail("it was closed"))
    make_private_directory(Path("/srv"))
    assert "shared system directory" in caplog.records[0].message


def test_storage_for_another_trainer_user_can_be_passed_but_not_read(tmp_path: Path):
    root = tmp_path / "data"
    make_passable_storage(root, os.getgid())
    assert mode_of(root) == 0o710
    assert {path.name: mode_of(path) for path in root.iterdir()} == {"tasks": 0o710, "caches": 0o2770}


def test_storage_keeps_another_group_than_the_trainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given: list[tuple[str, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((path.name, gid)))
    make_passable_storage(tmp_path, 7002)
    assert mode_of(tmp_path) == 0o711
    assert given == [("tasks", 7002), ("caches", 7002)]


def test_directories_left_open_are_restricted_before_others_can_enter(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "server-log").mkdir(mode=0o755)
    (tmp_path / "database.sqlite").touch(0o644)
    for task, mode in (("open", 0o755), ("running", 0o710), ("closed", 0o700)):
        (tmp_path / "tasks" / task).mkdir(parents=True)
        (tmp_path / "tasks" / task).chmod(mode)
    make_passable_storage(tmp_path, os.getgid())
    tasks = [mode_of(tmp_path / "tasks" / task) for task in ("open", "running", "closed")]
    assert (mode_of(tmp_path / "server-log"), mode_of(tmp_path / "database.sqlite")) == (0o700, 0o600)
    assert tasks == [0o700, 0o710, 0o700]
    assert len(caplog.records) == 3
