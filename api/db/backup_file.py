"""A backup as one file: a gzipped tar of what it is, the database, and the name of the machine."""

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

from api.util.durable import sync_directory

#: The form of the file. A later one is refused.
FORMAT = 1

_FACTS, _DATABASE, _NODE = "backup.json", "database", "node"

#: Bytes that the small members may have.
_MOST_BYTES = 64 * 1024

#: Level of gzip: a quarter of the time of the highest, for a file that is a few percent larger.
_LEVEL = 6

_UNREADABLE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error)


class BackupError(Exception):
    """A backup cannot be made or restored: why, and what to do."""


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """What a backup is."""

    backend: str  #: "sqlite" or "postgresql"
    revision: str  #: of the tables
    version: str  #: of the service that made it
    made_at: str  #: UTC, ISO 8601
    storage_root: str  #: where tasks' files lay, of which a backup has none
    sha256: str  #: of the database


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was read: its facts, where its database lies now, and the content of STORAGE_ROOT/node."""

    facts: BackupFacts
    database: Path
    node: bytes | None


def write_backup(target: Path, facts: BackupFacts, database: Path, node: bytes | None, replaces: bool) -> None:
    """Writes the file whole or not at all, for its owner only. Raises OSError, and BackupError when there is one that
    it may not replace.
    """
    refuse_existing(target, replaces)
    # Made with mode 0600.
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
    """Raises BackupError when there is a file that may not be replaced."""
    if target.exists() and not replaces:
        raise BackupError(f"{target} is there already: name another file, or replace it with --force (make: FORCE=1)")


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    archive.addfile(member, content)


def read_backup(source: Path, directory: Path) -> Backup:
    """Read a backup, and put its database into this directory.

    Raise BackupError when the file cannot be opened, is not a backup, has a later form, or is damaged, and OSError
    when its database cannot be written.
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
        raise BackupError(f"{source} is no backup of this service, or damaged ({error})") from error
    facts = _read_facts(source, small.get(_FACTS, b""))
    if not database.is_file() or digest(database) != facts.sha256:
        raise BackupError(f"{source} is damaged: its database is not the one that was put into it")
    return Backup(facts, database, small.get(_NODE))


def _members(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """The regular files in it. Nothing is written under the names that they have."""
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
            raise BackupError(f"{source} was made by a newer version of this service: restore it with that one")
        return BackupFacts(**{each.name: str(facts[each.name]) for each in fields(BackupFacts)})
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BackupError(f"{source} is no backup of this service: it does not say what it is") from error


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
