"""Small files that are there whole or not at all, and what is read from them."""

from __future__ import annotations

import json
import os
import time

from api.util.foreign_files import TROUBLE, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

PATIENCE_SECONDS = 5.0  #: how long a disk in trouble is asked again
PATIENCE_PACE = 0.1

_last_complaint = [""]


def patiently(look: Callable[[], T]) -> T:
    """What `look` returns; it is called again for PATIENCE_SECONDS while the disk is in trouble. Raises OSError."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return look()
        except OSError as error:
            if error.errno not in TROUBLE or time.monotonic() >= give_up_at:
                raise
            time.sleep(PATIENCE_PACE)


def told_of(error: Exception | None) -> dict[str, object]:
    """The fields of `exit.json` about an error: its text, its errno, and the file that it is about; null is unknown."""
    file = getattr(error, "filename", None)
    return {
        "error": None if error is None else str(error)[:2000],
        "error_number": getattr(error, "errno", None),
        "error_file": file[:2000] if isinstance(file, str) else None,
    }


def read_file(path: str) -> bytes:
    """The content of a file below /proc or /sys. Raises OSError."""
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
    found = parse_json(read(path))
    if found is None:
        raise ValueError(f"{os.path.basename(path)} holds no object")
    return found


def parse_json(content: bytes) -> dict[str, object] | None:
    """The JSON object in these bytes; None for anything else."""
    try:
        found: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: str, content: object) -> None:
    """Writes a JSON file durably; a failure leaves what was there. Raises OSError."""
    write(path, json.dumps(content).encode())


def truncate(handle: int, size: int) -> None:
    """Cuts a file off at this size; a failure is ignored."""
    try:
        os.ftruncate(handle, size)
    except OSError:
        return


def number(value: object) -> float | None:
    """A number from JSON; None for anything else, for NaN, infinity and what is 2^53 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 2**53 else None


def identity_of(given: object) -> tuple[int, int] | None:
    """The pid and the start (clock ticks since boot) of a process in a record; None when they make no sense."""
    if not isinstance(given, dict):
        return None
    pid, start = number(given.get("pid")), number(given.get("start"))
    return None if pid is None or start is None or not 0 < pid < 2**31 else (int(pid), int(start))


def exit_status_of(given: object) -> int | None:
    """How a process ended, as wait() gave it; None for anything else."""
    figure = number(given)
    try:
        return None if figure is None or os.waitstatus_to_exitcode(int(figure)) is None else int(figure)
    except (ValueError, OverflowError):
        return None


def complain(text: str) -> None:
    """Writes a line into `supervisor.log`, unless it would repeat the last one."""
    if text == _last_complaint[0]:
        return
    _last_complaint[0] = text
    try:
        os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n".encode(errors="replace"))
    except OSError:
        return
