import os
import stat
from pathlib import Path

import pytest

from api.util.files import foreign_files
from api.util.files.foreign_files import (
    ForeignFile,
    Space,
    entries,
    is_gone,
    open_directory,
    open_own,
    put_empty,
    read,
    remove,
    remove_temporaries,
    write,
)
from tests.faults import Faults
from tests.unit.util.foreign import Plant, each_plant, outside_of


@each_plant
def test_irregular_and_overlong_files_are_not_read(tmp_path: Path, plant: Plant) -> None:
    plant(tmp_path / "name")
    with pytest.raises(ForeignFile):
        read(str(tmp_path / "name"))


@each_plant
def test_write_replaces_anything_at_its_path(tmp_path: Path, plant: Plant) -> None:
    path = tmp_path / "name"
    plant(path)
    outside = outside_of(path).read_bytes() if outside_of(path).exists() else None
    write(str(path), b"ours")
    assert stat.S_ISREG(path.lstat().st_mode)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"ours", 0o600)
    assert outside is None or outside_of(path).read_bytes() == outside
    assert not (tmp_path / "made-by-following").exists()


@each_plant
def test_empty_file_replaces_anything_irregular(tmp_path: Path, plant: Plant) -> None:
    plant(tmp_path / "save_quit")
    put_empty(str(tmp_path / "save_quit"))
    assert stat.S_ISREG((tmp_path / "save_quit").lstat().st_mode)
    assert not (tmp_path / "made-by-following").exists()


@each_plant
def test_own_file_is_never_opened_through_anything_else(tmp_path: Path, plant: Plant) -> None:
    path = tmp_path / "heartbeat"
    plant(path)
    handle = open_own(str(path), os.O_WRONLY)
    try:
        assert stat.S_ISREG(os.fstat(handle).st_mode)
        assert os.path.samestat(os.fstat(handle), path.lstat())
    finally:
        os.close(handle)
    assert not (tmp_path / "made-by-following").exists()


def test_second_name_of_another_file_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"theirs")
    (tmp_path / "heartbeat").hardlink_to(tmp_path / "other")
    handle = open_own(str(tmp_path / "heartbeat"), os.O_WRONLY)
    os.write(handle, b"ours!!")
    os.close(handle)
    assert (tmp_path / "other").read_bytes() == b"theirs"


def test_content_of_a_directory_in_the_way_is_kept(tmp_path: Path) -> None:
    (tmp_path / "exit.json").mkdir()
    (tmp_path / "exit.json" / "inside").write_text("kept")
    write(str(tmp_path / "exit.json"), b"{}")
    assert [path.read_text() for path in tmp_path.glob(".exit.json.*/inside")] == ["kept"]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_linked_directory_of_the_trainer_is_not_entered(tmp_path: Path, level: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    parts = ["task", "attempts", "1"]
    inside = tmp_path.joinpath(*parts[: 3 - level])
    inside.mkdir(parents=True, exist_ok=True)
    outside.joinpath(*parts[4 - level :]).mkdir(parents=True, exist_ok=True)
    (inside / parts[3 - level]).symlink_to(outside)
    with pytest.raises(OSError, match="plain"):
        write(str(tmp_path.joinpath(*parts, "spec.json")), b"{}")
    assert [path for path in outside.rglob("*") if path.is_file()] == []


def test_links_of_the_administrator_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk" / "tasks" / "1" / "attempts" / "1").mkdir(parents=True)
    (tmp_path / "storage").symlink_to(tmp_path / "disk")
    write(str(tmp_path / "storage/tasks/1/attempts/1/spec.json"), b"{}")
    assert read(str(tmp_path / "storage/tasks/1/attempts/1/spec.json")) == b"{}"


def test_unreadable_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(str(tmp_path / "name"), b"x")
    whole = os.open

    def refuse(path: str, *args: object, **more: object) -> int:
        if path == "name":
            raise PermissionError(13, "Permission denied")
        return whole(path, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(foreign_files.os, "open", refuse)  # root may read everything
    with pytest.raises(ForeignFile, match="not readable"):
        read(str(tmp_path / "name"))


def test_file_that_grows_while_it_is_read_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "name").write_bytes(b"x")
    monkeypatch.setattr(foreign_files.os, "read", lambda _, size: b"x" * size)
    with pytest.raises(ForeignFile):
        read(str(tmp_path / "name"))


def test_file_of_the_maximum_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"x" * 100)
    assert len(read(str(tmp_path / "name"), 100)) == 100


def test_failed_write_leaves_only_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(str(tmp_path / "name"), b"before")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(foreign_files.os, "pwrite", full)
    with pytest.raises(OSError, match="space"):
        write(str(tmp_path / "name"), b"after")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("name", b"before")]


def test_reserved_file_that_was_exchanged_is_not_moved_to_its_name(tmp_path: Path) -> None:
    space = Space(str(tmp_path / "exit.json"), 4096)
    (temporary,) = tmp_path.iterdir()
    temporary.unlink()
    temporary.write_bytes(b"forged")
    with pytest.raises(ForeignFile):
        space.fill(b"true")
    space.close()
    assert not (tmp_path / "exit.json").exists()


def test_only_a_part_of_an_endless_directory_is_read(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / str(number)).touch()
    handle = open_directory(str(tmp_path))
    try:
        assert len(list(entries(handle, 10))) == 10
    finally:
        os.close(handle)


def test_link_is_removed_without_its_target(tmp_path: Path) -> None:
    (tmp_path / "outside").touch()
    (tmp_path / "name").symlink_to(tmp_path / "outside")
    remove(str(tmp_path / "name"))
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]


def test_old_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".spec.json.0123456789abcdef.new", tmp_path / ".spec.json.fedcba9876543210.new"
    former, other = tmp_path / "environment.json.3f", tmp_path / "spec.json"
    for path in (old, fresh, former, other):
        path.touch()
    for path in (old, former, other):
        os.utime(path, (1.0, 1.0))
    remove_temporaries(str(tmp_path), 60.0, ("environment.json.",))
    assert {path.name for path in tmp_path.iterdir()} == {fresh.name, other.name}


def test_own_directory_without_access_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tmp_path / "task"
    (task / "1").mkdir(parents=True)
    (task / "1" / "name").write_text("kept")
    task.chmod(0)
    whole = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        # As the kernel does for users other than root.
        if dir_fd is not None and not os.fstat(dir_fd).st_mode & 0o100:
            raise PermissionError(13, "Permission denied", path)
        return whole(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr("api.util.files.foreign_files.os.open", refuse)
    assert read(str(task / "1" / "name")) == b"kept"
    assert stat.S_IMODE(task.stat().st_mode) == 0o700


def test_rejected_empty_file_leaves_nothing(tmp_path: Path, faults: Faults) -> None:
    faults.strike("rename", "/save_quit", times=3)
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output"):
            put_empty(str(tmp_path / "save_quit"))
    assert list(tmp_path.iterdir()) == []


def test_file_with_an_error_on_close_is_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_close = os.close

    def complain(handle: int) -> None:
        is_plain = stat.S_ISREG(os.fstat(handle).st_mode)
        true_close(handle)
        if is_plain:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "close", complain)
    write(str(tmp_path / "name"), b"ours")
    assert (tmp_path / "name").read_bytes() == b"ours"


def test_nothing_counts_as_missing_while_the_disk_is_in_trouble(tmp_path: Path, faults: Faults) -> None:
    (tmp_path / "name").touch()
    assert (is_gone(str(tmp_path / "name")), is_gone(str(tmp_path / "none"))) == (False, True)
    faults.strike("lstat", str(tmp_path))
    assert not is_gone(str(tmp_path / "name"))
    assert not is_gone(str(tmp_path / "none"))


def test_file_is_private_unless_a_mode_is_given_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        foreign_files.write(str(tmp_path / "private"), b"")
        foreign_files.write(str(tmp_path / "shared"), b"", mode=0o660)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "shared")]
    assert modes == [0o600, 0o660]
