"""Media files are opened without following a link or waiting for a pipe."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from api.util import foreign_files

_CHUNK = 1024 * 1024


class NotPlain(Exception):
    """What stands under this name is no file, or cannot be opened; the text says why."""


class ContentChanged(NotPlain):
    """The file has another content than it should have."""


def open_plain(path: Path, sha256: str | None = None) -> BinaryIO:
    """A regular file, open for reading at its start. Raises NotPlain; ContentChanged when it has not this hash."""
    try:
        file = os.fdopen(foreign_files.open_plain(str(path), levels=0), "rb")
    except (OSError, ValueError) as error:
        raise NotPlain(f"It cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
    if sha256 is not None and _hash(file) != sha256:
        file.close()
        raise ContentChanged("It is no longer the file of this version.")
    return file


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while part := file.read(_CHUNK):
        digest.update(part)
    file.seek(0)
    return digest.hexdigest()
