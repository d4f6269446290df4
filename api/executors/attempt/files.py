"""Small files that are there whole or not at all, and what is read from them."""

from __future__ import annotations

import json
import os
import time

_last_complaint = [""]


def read_file(path: str) -> bytes:
    """What a file holds. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(handle, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def read_json(path: str) -> dict[str, object]:
    """The object in a JSON file. Raises OSError, or ValueError when there is something else in it."""
    try:
        found: object = json.loads(read_file(path))
    except RecursionError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{os.path.basename(path)} holds no object")
    return found


def write_all(handle: int, content: bytes, offset: int) -> None:
    """Writes every byte at an offset. Raises OSError."""
    while content:
        written = os.pwrite(handle, content, offset)
        content, offset = content[written:], offset + written


def write_json(path: str, content: object, temporary: str | None = None) -> None:
    """Puts a JSON file in its place, whole and for good, or leaves what was there. Raises OSError.

    A temporary file that is there already is written over in its own blocks: space reserved for it is used.
    """
    temporary = temporary or f"{path}.new"
    encoded = json.dumps(content).encode()
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        write_all(handle, encoded, 0)
        os.ftruncate(handle, len(encoded))
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(temporary, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def truncate(handle: int, size: int) -> None:
    """Cuts a file off, where the disk still does that."""
    try:
        os.ftruncate(handle, size)
    except OSError:
        return


def remove(path: str) -> None:
    """Removes a file that may be gone already."""
    try:
        os.unlink(path)
    except OSError:
        return


def number(value: object) -> float | None:
    """A figure from JSON; None for anything else, NaN and infinity too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 2**53 else None


def identity_of(given: object) -> tuple[int, int] | None:
    """The pid and the start in a record."""
    if not isinstance(given, dict):
        return None
    pid, start = number(given.get("pid")), number(given.get("start"))
    return None if pid is None or start is None else (int(pid), int(start))


def complain(text: str) -> None:
    """A line into `supervisor.log`, unless it says what the last one said."""
    if text == _last_complaint[0]:
        return
    _last_complaint[0] = text
    try:
        os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n".encode(errors="replace"))
    except OSError:
        return
