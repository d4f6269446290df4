"""The program that writes one archive out, executed as a plain file: `python -I child.py` with an order on its stdin.

Its limits are the kernel's: memory, processor time, the size of a file. It answers in JSON lines: how far it is, and at
last how it ended. Whoever started it reads them; when nobody does any more, it ends.
"""

import os
import sys

if __name__ == "__main__":
    # Last, so that no module of the standard library is hidden.
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from api.files.archives.expansion import Expansion, ExpansionProgress
from api.files.archives.limits import ArchiveLimits, BadArchive, NoRoom

#: Seconds between two lines about how far it is.
_TELL_SECONDS = 0.2


@dataclass(slots=True)
class _Teller:
    told_at: float = float("-inf")

    def tell(self, progress: ExpansionProgress) -> None:
        now = time.monotonic()
        if now - self.told_at >= _TELL_SECONDS:
            self.told_at = now
            say({"entries": progress.entries, "written": progress.written})


def say(line: dict[str, Any]) -> None:
    """Writes one line to whoever started this. Ends the program when nobody reads it any more."""
    try:
        os.write(1, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    except OSError:
        os._exit(1)


def bound(limits: ArchiveLimits) -> None:
    """Has the kernel hold these limits from now on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.total, limits.total))


def main() -> None:
    """Reads the order, and follows it."""
    order = orjson.loads(sys.stdin.buffer.read())
    limits = ArchiveLimits(**order["limits"])
    os.umask(0o077)
    bound(limits)
    try:
        done = Expansion(Path(order["archive"]), Path(order["target"]), limits, _Teller().tell).run()
        say({"end": "done", "entries": done.entries, "written": done.written})
    except BadArchive as error:
        say({"end": "refused", "reason": error.reason, "entry": error.entry})
    except NoRoom:
        say({"end": "no_room"})
    except MemoryError:
        say({"end": "refused", "reason": "takes more memory to read than an archive may", "entry": None})
    except OSError as error:
        say({"end": "failed", "errno": error.errno, "reason": error.strerror or str(error)})


if __name__ == "__main__":
    main()
