"""The liveness of supervisors: a suspended or hung supervisor holds its attempt without observing it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from api.domain.task import ProcessIdentity
from api.executors.attempt.files import read_file

#: Seconds without a sign of life after which a supervisor counts as frozen. It writes a heartbeat every 2 s.
FROZEN_SECONDS = 15.0

#: The longest interval between two checks that counts, in seconds. A longer one means that this service was suspended.
LOOK_SECONDS = 2.0

_SWITCHES = b"\nvoluntary_ctxt_switches:"


@dataclass(slots=True)
class _Heartbeat:
    signs: tuple[int, int]
    looked_at: float
    quiet: float = 0.0


class Heartbeats:
    """Measures how long each supervisor has shown no sign of life.

    The signs are its heartbeat and, because a full disk stops that, its number of context switches. Only changes of
    these values count, measured by this process's monotonic clock. So neither a changed wall clock nor a sleeping
    machine makes a healthy supervisor look frozen.
    """

    def __init__(self) -> None:
        self._known: dict[Path, _Heartbeat] = {}

    def measure(self, directory: Path, supervisor: ProcessIdentity | None) -> float:
        """Return the seconds since the last sign of life.

        If the process is not visible, only the heartbeat counts.
        """
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
        """Reset the measurement, because another supervisor starts."""
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
