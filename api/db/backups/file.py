"""The file format of backups: a gzipped tar with metadata, the database, and the machine's name."""

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

import orjson

from api.util.files.outside_files import sync_directory

#: The version of the format. Later ones are rejected.
FORMAT = 1

_FACTS, _DATABASE, _NODE = "backup.json", "database", "node"

#: The most bytes of the small members.
_MOST_BYTES = 64 * 1024

#: gzip's level: a quarter of the time of the highest, with a few percent more bytes.
_LEVEL = 6

_UNREADABLE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error)


class BackupError(Exception):
    """A backup cannot be created or restored; the message has the reason and a remedy."""


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """The metadata of a backup."""

    backend: str  #: "sqlite" or "postgresql"
    revision: str  #: of the tables
    version: str  #: of the service that created it
    made_at: str  #: UTC, ISO 8601
    storage_root: str  #: the directory of the tasks' files, which are not in the backup
    sha256: str  #: of the database


@dataclass(frozen=True, slots=True)
class Backup:
    """An extracted backup: its metadata, its database file, and the content of STORAGE_ROOT/node."""

    facts: BackupFacts
    database: Path
    node: bytes | None


def write_backup(target: Path, facts: BackupFacts, database: Path, node: bytes | None, replaces: bool) -> None:
    """Write the file atomically, for its owner only.

    Raises OSError, and BackupError if the file exists and may not be replaced.
    """
    refuse_existing(target, replaces)
    # mkstemp sets mode 0600.
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=_LEVEL) as archive:
                content = orjson.dumps({"format": FORMAT, **asdict(facts)}, option=orjson.OPT_INDENT_2)
                _add(archive, _FACTS, io.BytesIO(content), len(content))
                if node is not None:
                    _add(archive, _NODE, io.BytesIO(node), len(node))
                with database.open("rb") as source:
                    _add(archive, _DATABASE, source, database.stat().st_size)
            file.flush()
            os.fsync(file.fileno())
        refuse_existing(target, replaces)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync_directory(target.parent)


def refuse_existing(target: Path, replaces: bool) -> None:
    """Raise BackupError if the file exists and may not be replaced."""
    if target.exists() and not replaces:
        raise BackupError(f"{target} exists: choose another file, or replace it with --force (make: FORCE=1)")


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    archive.addfile(member, content)


def read_backup(source: Path, directory: Path) -> Backup:
    """Read a backup, and extract its database into this directory.

    Raises BackupError if the file cannot be opened, is not a backup, has a later format or is damaged. Raises OSError
    if the database cannot be written.
    """
    database = directory / _DATABASE
    small: dict[str, bytes] = {}
    try:
        file = source.open("rb")
    except OSError as error:
        raise BackupError(f"the backup {source} cannot be opened: {error.strerror}") from error
    try:
        with file, tarfile.open(fileobj=file, mode="r:gz") as archive:
            for member, content in _members(archive):
                if member.name == _DATABASE:
                    _copy(content, database)
                elif member.name in (_FACTS, _NODE) and member.size <= _MOST_BYTES:
                    small[member.name] = content.read()
    except _UNREADABLE as error:
        raise BackupError(f"{source} is not a backup of this service, or it is damaged ({error})") from error
    facts = _read_facts(source, small.get(_FACTS, b""))
    if not database.is_file() or digest(database) != facts.sha256:
        raise BackupError(f"{source} is damaged: the checksum of its database does not match")
    return Backup(facts, database, small.get(_NODE))


def _members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Yield the regular files. Their names are never used as paths."""
    for member in archive:
        content = archive.extractfile(member) if member.isreg() else None
        if content is not None:
            yield member, content


def _copy(content: IO[bytes], path: Path) -> None:
    with path.open("xb") as target:
        path.chmod(0o600)
        shutil.copyfileobj(content, target, 2**20)
        target.flush()
        os.fsync(target.fileno())


def _read_facts(source: Path, content: bytes) -> BackupFacts:
    try:
        facts = orjson.loads(content)
        if facts["format"] > FORMAT:
            raise BackupError(f"{source} was made by a newer version of this service: restore it with that version")
        return BackupFacts(**{each.name: str(facts[each.name]) for each in fields(BackupFacts)})
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BackupError(f"{source} is not a backup of this service: its metadata is missing") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
