"""Open media files without following links or waiting for pipes."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from api.util.files import foreign_files

_CHUNK = 1024 * 1024


class NotPlain(Exception):
    """The path is not a regular file, or the file cannot be opened; the text says why."""


class ContentChanged(NotPlain):
    """The content of the file has another hash than expected."""


def open_plain(path: Path, sha256: str | None = None) -> BinaryIO:
    """Open a regular file for reading. Raises NotPlain; ContentChanged if it does not have this hash."""
    try:
        file = os.fdopen(foreign_files.open_plain(str(path), levels=0), "rb")
    except (OSError, ValueError) as error:
        raise NotPlain(f"It cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
    if sha256 is not None and _hash(file) != sha256:
        file.close()
        raise ContentChanged("The file has changed since this version.")
    return file


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while part := file.read(_CHUNK):
        digest.update(part)
    file.seek(0)
    return digest.hexdigest()
