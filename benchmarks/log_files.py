"""Creates logs of any size on disk in the format of supervisors."""

import shutil
import struct
from pathlib import Path

from benchmarks.servers import Running

SEGMENT_BYTES = 16 * 2**20
LINES_PER_SECOND = 5_000

_RECORD = struct.Struct("<QQd")  #: as in `api.executors.attempt.segments`
_LINE = b"steps: %d loss: 0.5994 iter time (s): 3.162 samples/sec: 0.316 and the usual noise that is printed here\n"
_FIRST = 100_000_000  #: the first number printed; all have as many digits, so that places can be computed


def log_of(server: Running, task_id: str) -> Path:
    """Return the path of a task's log."""
    return Path(server.process.environ()["STORAGE_ROOT"]) / "tasks" / task_id / "log"


def count_lines(directory: Path) -> int:
    """Return the number of lines of a stored log."""
    return sum(path.read_bytes().count(b"\n") for path in directory.glob("*.log"))


def make_log(directory: Path, size: int, written_bytes: int) -> int:
    """Create a log of `size` bytes: holes followed by `written_bytes` of text; return its number of lines.

    Names, times and sizes are valid for the whole log.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    length = len(_LINE % _FIRST)
    per_segment = SEGMENT_BYTES // length
    lines = offset = 0
    while offset < size:
        path = directory / f"{offset:020d}.log"
        with path.open("wb") as file:
            if offset + per_segment * length > size - written_bytes:
                file.write(b"".join(_LINE % (_FIRST + lines + number) for number in range(per_segment)))
            else:
                file.truncate(per_segment * length)
        # One record per 10 ms, as the supervisor writes them.
        records = (
            _RECORD.pack(offset + number * length, lines + number, 1.75e9 + (lines + number) / LINES_PER_SECOND)
            for number in range(0, per_segment, LINES_PER_SECOND // 100)
        )
        path.with_suffix(".times").write_bytes(b"".join(records))
        lines += per_segment
        offset += per_segment * length
    return lines
