"""Unpack one archive: the program `python -I child.py`, which reads its order from standard input.

The kernel limits its memory, processor time and file size. It prints its progress and finally the outcome as JSON
lines. It exits when its parent does not read them any more.
"""

import os
import sys

if __name__ == "__main__":
    # Appended last, so that it hides no module of the standard library.
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from api.files.archives.expansion import Expansion, ExpansionProgress
from api.files.archives.limits import ArchiveLimits, BadArchive, DiskFull

#: Seconds between two progress lines.
_REPORT_SECONDS = 0.2


@dataclass(slots=True)
class _ProgressReporter:
    reported_at: float = float("-inf")

    def report(self, progress: ExpansionProgress) -> None:
        now = time.monotonic()
        if now - self.reported_at >= _REPORT_SECONDS:
            self.reported_at = now
            write_line({"entries": progress.entries, "written": progress.written})


def write_line(line: dict[str, Any]) -> None:
    """Write one line for the parent process. Exit if no process reads it."""
    try:
        os.write(1, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    except OSError:
        os._exit(1)


def set_limits(limits: ArchiveLimits) -> None:
    """Set the limits of this process in the kernel."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.total, limits.total))


def main() -> None:
    """Read the order and execute it."""
    order = orjson.loads(sys.stdin.buffer.read())
    limits = ArchiveLimits(**order["limits"])
    os.umask(0o077)
    set_limits(limits)
    try:
        done = Expansion(Path(order["archive"]), Path(order["target"]), limits, _ProgressReporter().report).run()
        write_line({"end": "done", "entries": done.entries, "written": done.written})
    except BadArchive as error:
        write_line({"end": "refused", "reason": error.reason, "entry": error.entry})
    except DiskFull:
        write_line({"end": "no_room"})
    except MemoryError:
        write_line({"end": "refused", "reason": "needs more memory than is allowed for an archive", "entry": None})
    except OSError as error:
        write_line({"end": "failed", "errno": error.errno, "reason": error.strerror or str(error)})


if __name__ == "__main__":
    main()
