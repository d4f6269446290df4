"""Signs of life of supervisors: one that is suspended or hangs holds its attempt and watches over nothing."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from api.domain.task import ProcessIdentity
from api.executors.attempt.files import read_file

#: Seconds without a sign of life after which a supervisor is frozen; it beats every 2 s and wakes more often.
FROZEN_SECONDS = 15.0

#: The most seconds that one look counts: if this service was suspended with a supervisor, it saw nothing meanwhile.
LOOK_SECONDS = 2.0

_SWITCHES = b"\nvoluntary_ctxt_switches:"


@dataclass(slots=True)
class _Heartbeat:
    signs: tuple[int, int]
    looked_at: float
    quiet: float = 0.0


class Heartbeats:
    """Watches whether each supervisor lives: by its heartbeat and, as a full disk takes none, by its context switches.

    Only that they change matters, and for how long they did not is counted by our own monotonic clock: neither a clock
    that is set nor a machine that sleeps makes a healthy one look frozen.
    """

    def __init__(self) -> None:
        self._known: dict[Path, _Heartbeat] = {}

    def measure(self, directory: Path, supervisor: ProcessIdentity | None) -> float:
        """Seconds since the last sign of life that was seen; without a visible process the heartbeat alone counts."""
        now = time.monotonic()
        signs = (_last_beat(directory), 0 if supervisor is None else _count_switches(supervisor.pid))
        known = self._known.get(directory)
        if known is None or known.signs != signs:
            self._known[directory] = _Heartbeat(signs, now)
            return 0.0
        known.quiet += min(now - known.looked_at, LOOK_SECONDS)
        known.looked_at = now
        return known.quiet

    def forget(self, directory: Path) -> None:
        """Forgets what was measured, as another supervisor begins."""
        self._known.pop(directory, None)


def _last_beat(directory: Path) -> int:
    try:
        return os.lstat(directory / "heartbeat").st_mtime_ns
    except OSError:
        return 0


def _count_switches(pid: int) -> int:
    try:
        status = read_file(f"/proc/{pid}/status")
    except OSError:
        return 0
    return int(status.partition(_SWITCHES)[2].split(b"\n", 1)[0] or 0)
