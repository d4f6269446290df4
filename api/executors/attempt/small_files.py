"""Read and write small files atomically, and parse their content."""

from __future__ import annotations

import json
import os
import time

from api.util.files.foreign_files import TROUBLE, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

PATIENCE_SECONDS = 5.0  #: how long reads of a failing disk are retried
PATIENCE_PACE = 0.1

_last_complaint = [""]


def retry_disk_errors(read: Callable[[], T]) -> T:
    """Return the result of `read`, retried for PATIENCE_SECONDS while the disk has errors.

    Raises OSError.
    """
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return read()
        except OSError as error:
            if error.errno not in TROUBLE or time.monotonic() >= give_up_at:
                raise
            time.sleep(PATIENCE_PACE)


def error_fields(error: Exception | None) -> dict[str, object]:
    """Return the fields of `exit.json` about an error: text, errno and file name; None if unknown."""
    file = getattr(error, "filename", None)
    return {
        "error": None if error is None else str(error)[:2000],
        "error_number": getattr(error, "errno", None),
        "error_file": file[:2000] if isinstance(file, str) else None,
    }


def read_file(path: str) -> bytes:
    """Return the content of a file below /proc or /sys.

    Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(handle, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def read_json(path: str) -> dict[str, object]:
    """Return the object in a JSON file.

    Raises OSError, or ValueError if it contains something else.
    """
    found = parse_json(read(path))
    if found is None:
        raise ValueError(f"{os.path.basename(path)} holds no object")
    return found


def parse_json(content: bytes) -> dict[str, object] | None:
    """Return the JSON object in these bytes, or None for anything else."""
    try:
        found: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: str, content: object) -> None:
    """Write a JSON file durably; a failure leaves the previous content.

    Raises OSError.
    """
    write(path, json.dumps(content).encode())


def truncate(handle: int, size: int) -> None:
    """Cut a file to this size; a failure is ignored."""
    try:
        os.ftruncate(handle, size)
    except OSError:
        return


def number(value: object) -> float | None:
    """Return a number from JSON; None for anything else, NaN, infinity, and magnitudes of 2^53 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 2**53 else None


def identity_of(given: object) -> tuple[int, int] | None:
    """Return the pid and the start (clock ticks since boot) of a process in a record; None if invalid."""
    if not isinstance(given, dict):
        return None
    pid, start = number(given.get("pid")), number(given.get("start"))
    return None if pid is None or start is None or not 0 < pid < 2**31 else (int(pid), int(start))


def exit_status_of(given: object) -> int | None:
    """Return the exit status of a process, as from wait(); None for anything else."""
    figure = number(given)
    try:
        return None if figure is None or os.waitstatus_to_exitcode(int(figure)) is None else int(figure)
    except (ValueError, OverflowError):
        return None


def complain(text: str) -> None:
    """Write a line to `supervisor.log`, unless it repeats the previous line."""
    if text == _last_complaint[0]:
        return
    _last_complaint[0] = text
    try:
        os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n".encode(errors="replace"))
    except OSError:
        return
