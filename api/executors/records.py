"""Read what supervisors record, and measure whether they are alive."""

import errno
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import StopRung
from api.executors.attempt.small_files import number, read_file
from api.executors.executor import Outcome
from api.util.files.foreign_files import TROUBLE, ForeignFile, read, read_with_status, status_of

#: The values of `Outcome.reason`.
REASONS = frozenset(
    {
        "exited",
        "could_not_start",
        "stopped_before_start",
        "supervisor_lost",
        "machine_restarted",
        "node_lost",
        "storage_unseen",
        "job_cancelled",
        "job_lost",
        "preempted",
        "time_limit",
    }
)

_LONGEST_TEXT = 2000
_MOST_TEXTS = 64
_LAST_PID = 2**31 - 1
_LAST_SECOND = 253_402_300_799.0  #: of the year 9999
#: Limits for one attempt's record: number of GPUs, and characters of a UUID.
MAX_GPUS, MAX_UUID = 64, 128

#: Errors that prevent reading the directory at all. Other errors concern single files.
_BLINDING = TROUBLE | {errno.EACCES, errno.EPERM}

#: Seconds without a sign of life after which a supervisor counts as frozen. It writes a heartbeat every 2 s.
FROZEN_SECONDS = 15.0

#: The longest interval between two checks that counts, in seconds. A longer one means that this service was suspended.
LOOK_SECONDS = 2.0
_SWITCHES = b"\nvoluntary_ctxt_switches:"


@dataclass(frozen=True, slots=True)
class Runner:
    """`runner.json`: the supervisor and its trainer, as last written."""

    boot_id: str | None
    supervisor: ProcessIdentity | None
    trainer: ProcessIdentity | None
    stop_rung: StopRung | None
    fence: int
    phase: str
    log_offset: int | None
    node: str | None = None  #: the machine that wrote it
    started_steady: float | None = None  #: when the trainer was started, in seconds since boot
    cgroup: str | None = None  #: the control group of its processes
    log_lost_bytes: int | None = None  #: bytes of its output that are in no log; None in older records
    pid_namespace: int | None = None  #: the pid namespace of its pids; None in older records


def parse_runner(content: bytes) -> Runner | None:
    """Return the record, or None if it cannot be parsed."""
    record = _object(content)
    if record is None:
        return None
    boot_id, phase, node = record.get("boot_id"), record.get("phase"), record.get("node")
    cgroup = record.get("cgroup")
    return Runner(
        boot_id=boot_id if isinstance(boot_id, str) else None,
        supervisor=parse_identity(record.get("supervisor")),
        trainer=parse_identity(record.get("trainer")),
        stop_rung=_rung(record.get("rung")),
        fence=_integer(record.get("fence")) or 0,
        phase=phase if isinstance(phase, str) else "",
        log_offset=_integer(record.get("log_offset")),
        node=node if isinstance(node, str) else None,
        cgroup=cgroup if isinstance(cgroup, str) else None,
        started_steady=_timestamp(record.get("started_steady")),
        log_lost_bytes=_integer(record.get("log_lost_bytes")),
        pid_namespace=_integer(record.get("pid_namespace")) or None,
    )


@dataclass(frozen=True, slots=True)
class SpecRecord:
    """`spec.json`: the attempt that a directory belongs to, and its GPUs."""

    uid: str
    log_directory: str
    gpu_uuids: tuple[str, ...]


def parse_spec(content: bytes) -> SpecRecord | None:
    """Return the description, or None if it cannot be parsed."""
    record = _object(content)
    if record is None:
        return None
    uid, log, uuids = record.get("uid"), record.get("log_directory"), record.get("gpu_uuids")
    if not isinstance(uid, str) or not isinstance(log, str):
        return None
    # Descriptions of older versions have no GPUs.
    named = uuids[:MAX_GPUS] if isinstance(uuids, list) else []
    return SpecRecord(uid, log, tuple(each for each in named if isinstance(each, str) and len(each) <= MAX_UUID))


def parse_lock(content: bytes, boot_id: str) -> ProcessIdentity | None:
    """Return the supervisor that took the lock since this boot, or None."""
    record = _object(content)
    return None if record is None or record.get("boot_id") != boot_id else parse_identity(record)


def parse_outcome(content: bytes, written_at: float) -> Outcome | None:
    """Return the outcome, or None if it cannot be parsed. `written_at` is the time of its file."""
    record = _object(content)
    reason = None if record is None else record.get("reason")
    if record is None or not isinstance(reason, str) or reason not in REASONS:
        return None
    return Outcome(
        reason=reason,
        exit_code=_integer(record.get("exit_code"), 255),
        signal=_integer(record.get("signal"), 64),
        error=_text(record.get("error")),
        stop_requested=record.get("stop_requested") is True,
        stop_rung=_rung(record.get("stop_rung")),
        last_step=_integer(record.get("last_step")),
        phrases=_texts(record.get("phrases")),
        started_at=_timestamp(record.get("started_at")),
        ended_at=_ended_at(record, written_at),
        survivors_killed=_integer(record.get("survivors_killed")) or 0,
        seconds=_timestamp(record.get("seconds")),
        log_offset=_integer(record.get("log_offset")),
        log_bytes=_integer(record.get("log_bytes")) or 0,
        log_lost_bytes=_integer(record.get("log_lost_bytes")) or 0,
        error_number=_integer(record.get("error_number")),
        error_file=_text(record.get("error_file")),
    )


def damaged_outcome(at: float) -> Outcome:
    """Return the outcome for a damaged `exit.json` of this time, when no supervisor is left."""
    return Outcome(
        reason="supervisor_lost",
        exit_code=None,
        signal=None,
        error="exit.json cannot be read: it is damaged",
        stop_requested=False,
        stop_rung=None,
        last_step=None,
        phrases=frozenset(),
        started_at=None,
        ended_at=min(max(0.0, at), _LAST_SECOND),
    )


def parse_identity(given: object) -> ProcessIdentity | None:
    """Return the process in a record, or None if it is invalid."""
    if not isinstance(given, dict):
        return None
    pid, start = _integer(given.get("pid")), number(given.get("start"))
    return None if not pid or pid > _LAST_PID or start is None else ProcessIdentity(pid, start)


def _text(given: object) -> str | None:
    return given[:_LONGEST_TEXT] if isinstance(given, str) else None


def _object(content: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _integer(value: object, most: int = 2**53) -> int | None:
    figure = number(value)
    return None if figure is None or not figure.is_integer() or not 0 <= figure <= most else int(figure)


def _timestamp(value: object) -> float | None:
    figure = number(value)
    return figure if figure is not None and 0 <= figure <= _LAST_SECOND else None


def _ended_at(record: Mapping[str, Any], written_at: float) -> float:
    recorded = _timestamp(record.get("ended_at"))
    return min(max(0.0, written_at), _LAST_SECOND) if recorded is None else recorded


def _texts(given: object) -> frozenset[str]:
    if not isinstance(given, list):
        return frozenset()
    return frozenset(text[:_LONGEST_TEXT] for text in given[:_MOST_TEXTS] if isinstance(text, str))


def _rung(value: object) -> StopRung | None:
    try:
        return StopRung(str(value))
    except ValueError:
        return None


def read_outcome(path: str) -> Outcome:
    """Return the outcome in `exit.json`, also if it is damaged.

    Raises OSError.
    """
    try:
        content, status = read_with_status(path)
        return parse_outcome(content, status.st_mtime) or damaged_outcome(status.st_mtime)
    except ForeignFile:
        return damaged_outcome(status_of(path).st_mtime)


def read_lost_bytes(path: str) -> int | None:
    """Return the bytes of output in no log, from `runner.json`; None if it has no such value."""
    try:
        runner = parse_runner(read(path))
    except OSError:
        return None
    return None if runner is None or runner.log_lost_bytes is None else max(0, runner.log_lost_bytes)


def check_absent(error: OSError) -> None:
    """Raise the error again unless it means that the file is missing."""
    if error.errno in _BLINDING:
        raise error


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
