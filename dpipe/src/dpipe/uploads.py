"""The parts of a resumable upload of a folder: files, metadata, and the state that survives the program."""

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dpipe.errors import Invalid, bad_answer

#: Bytes of one request. What an interrupted request has sent is kept by the server.
PART_BYTES = 8 * 2**20

TUS = {"Tus-Resumable": "1.0.0"}
PART = {"Content-Type": "application/offset+octet-stream"}

#: Called with the bytes that are done and their total, which is None if unknown.
Progress = Callable[[int, int | None], object]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to upload: where it is, its path in the dataset, and its size."""

    path: Path
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The upload of a folder or file. The same folder gets the same `token` until it has been uploaded."""

    dataset: str
    files: list[LocalFile]
    total: int  #: bytes
    token: str
    state: Path

    def metadata(self, file: LocalFile) -> str:
        """Return the header Upload-Metadata. The files of a batch become one version of the dataset."""
        values = {"dataset": self.dataset, "filename": file.name, "batch": self.token}
        values["batch_size"] = str(len(self.files))
        return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())

    def key(self, file: LocalFile) -> str:
        """Return the Idempotency-Key with which a file's upload is found again."""
        return hashlib.sha256(f"{self.token}/{file.name}".encode()).hexdigest()


def plan(source: Path, name: str | None, url: str) -> Plan:
    """Return the upload of a folder or file. Raise Invalid if it has no files."""
    files = list(_files(source))
    if not files:
        message = f"{source} has no files." if source.exists() else f"{source} does not exist."
        raise Invalid(message, code="nothing_to_upload", remedy="Name a folder with pictures or videos.")
    own = source.resolve()
    dataset = name or re.sub(r"[^A-Za-z0-9._-]+", "-", own.stem if own.is_file() else own.name)
    listing = "\n".join(f"{each.name} {each.size} {each.path.stat().st_mtime_ns}" for each in files)
    digest = hashlib.sha256("\0".join((url, dataset, str(own), listing)).encode()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dpipe" / "uploads"
    state = cache / digest
    return Plan(dataset, files, sum(each.size for each in files), _token(state), state)


def _files(source: Path) -> Iterator[LocalFile]:
    """Yield a file, or those of a folder without hidden ones. Raise Invalid for a link that leads out of the folder."""
    single, root = source.is_file(), source.resolve()
    for path in [source] if single else sorted(source.rglob("*")):
        inside = path.relative_to(source.parent if single else source)
        if path.is_file() and (single or not any(part.startswith(".") for part in inside.parts)):
            if not (single or path.resolve().is_relative_to(root)):
                message = f"{path} is a link to a file outside of the folder."
                raise Invalid(message, code="link_leaves_folder", remedy="Replace it by a copy, or remove it.")
            yield LocalFile(path, inside.as_posix(), path.stat().st_size)


def _token(state: Path) -> str:
    """Return the stored token of an interrupted upload, or a new one."""
    token = secrets.token_hex(16)
    # Without a place for the state, only an interruption of the connection can be continued.
    with suppress(OSError):
        state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if state.exists() and re.fullmatch(r"[0-9a-f]{32}", found := state.read_text()):
            return found
        state.write_text(token)
    return token


def read(opened: BinaryIO, file: LocalFile, offset: int) -> bytes:
    """Return the part of a file that begins at this offset. Raise Invalid."""
    opened.seek(offset)
    part = opened.read(min(PART_BYTES, file.size - offset))
    if not part and offset < file.size:
        raise Invalid(f"{file.path} has become shorter.", code="file_changed", remedy="Upload it again.")
    return part


def offset_of(headers: Mapping[str, str]) -> int:
    """Return the number of stored bytes. Raise BadAnswer."""
    text = headers.get("upload-offset", "")
    if not (text.isascii() and text.isdigit()):
        raise bad_answer("no Upload-Offset")
    return int(text)
