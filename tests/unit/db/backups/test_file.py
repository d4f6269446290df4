"""Backup files: atomic, private to their owner, and verified before use."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from api.db.backups.file import BackupError, BackupFacts, digest, read_backup, write_backup


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "copy"
    path.write_bytes(b"tables" * 1000)
    return path


@pytest.fixture
def facts(database: Path) -> BackupFacts:
    return BackupFacts("sqlite", "0003", "1.0.0", "2026-11-25T00:00:00+00:00", "/data", digest(database))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def file(tmp_path: Path, database: Path, facts: BackupFacts) -> Path:
    path = tmp_path / "kept.tar.gz"
    write_backup(path, facts, database, b"name\nmachine\n", replaces=False)
    return path


def test_written_backup_is_read(file: Path, facts: BackupFacts, database: Path, work: Path):
    backup = read_backup(file, work)
    assert (backup.facts, backup.node) == (facts, b"name\nmachine\n")
    assert backup.database.read_bytes() == database.read_bytes()


def test_file_is_private_and_leaves_nothing_beside_it(file: Path, tmp_path: Path):
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "kept.tar.gz"]


def test_machine_without_a_name_has_a_backup_too(tmp_path: Path, facts: BackupFacts, database: Path, work: Path):
    write_backup(tmp_path / "nameless", facts, database, None, replaces=False)
    assert read_backup(tmp_path / "nameless", work).node is None


def test_existing_file_is_replaced_only_if_requested(file: Path, facts: BackupFacts, database: Path, work: Path):
    before = file.read_bytes()
    with pytest.raises(BackupError, match="exists: choose another file"):
        write_backup(file, facts, database, None, replaces=False)
    assert file.read_bytes() == before
    write_backup(file, facts, database, None, replaces=True)
    assert read_backup(file, work).node is None


def test_failed_write_leaves_the_existing_file(file: Path, facts: BackupFacts, tmp_path: Path):
    before = file.read_bytes()
    with pytest.raises(FileNotFoundError):
        write_backup(file, facts, tmp_path / "absent", None, replaces=True)
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".kept*"))


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9])
def test_truncated_file_is_refused(file: Path, work: Path, kept: float):
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(BackupError, match="not a backup of this service, or it is damaged"):
        read_backup(file, work)


def test_changed_database_is_refused(tmp_path: Path, facts: BackupFacts, database: Path, work: Path):
    write_backup(tmp_path / "changed", replace(facts, sha256="0" * 64), database, None, replaces=False)
    with pytest.raises(BackupError, match="is damaged"):
        read_backup(tmp_path / "changed", work)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{}", "its metadata is missing"),
        (b"[]", "its metadata is missing"),
        (b"{", "its metadata is missing"),
        (b'{"format": 2}', "by a newer version"),
        (b'{"format": "x"}', "its metadata is missing"),
    ],
)
def test_file_without_metadata_is_refused(tmp_path: Path, work: Path, content: bytes, why: str):
    _archive(tmp_path / "other", {"backup.json": content, "database": b"x"})
    with pytest.raises(BackupError, match=why):
        read_backup(tmp_path / "other", work)


def test_member_names_are_not_used_as_paths(tmp_path: Path, work: Path):
    _archive(tmp_path / "other", {"../outside": b"x", "/tmp/outside": b"x", "backup.json": b"{}"})
    with pytest.raises(BackupError):
        read_backup(tmp_path / "other", work)
    assert not (tmp_path / "outside").exists()
    assert list(work.iterdir()) == []


def _archive(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_missing_file_is_reported(tmp_path: Path, work: Path):
    with pytest.raises(BackupError, match=f"the backup {tmp_path}/missing cannot be opened: No such file"):
        read_backup(tmp_path / "missing", work)
