"""Parses the records of supervisors: who runs, and how it ended. Damaged ones raise nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.domain.task import ProcessIdentity
from api.domain.training import StopRung
from api.executors.attempt.files import number
from api.executors.executor import Outcome

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
#: The most GPUs of one attempt, and characters of a UUID, that are believed.
MAX_GPUS, MAX_UUID = 64, 128


@dataclass(frozen=True, slots=True)
class Runner:
    """`runner.json`: the supervisor, and what it supervised, when it was last written."""

    boot_id: str | None
    supervisor: ProcessIdentity | None
    trainer: ProcessIdentity | None
    stop_rung: StopRung | None
    fence: int
    phase: str
    log_offset: int | None
    node: str | None = None  #: the machine that it was written on
    started_steady: float | None = None  #: when the trainer was started, in seconds since the machine was
    cgroup: str | None = None  #: the control group of its processes
    log_lost_bytes: int | None = None  #: bytes of its output that are in no log; None in a record of an older version
    pid_namespace: int | None = None  #: the one of its pids; None in a record of an older version


def parse_runner(content: bytes) -> Runner | None:
    """The record; None when it cannot be understood."""
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
        fence=_whole(record.get("fence")) or 0,
        phase=phase if isinstance(phase, str) else "",
        log_offset=_whole(record.get("log_offset")),
        node=node if isinstance(node, str) else None,
        cgroup=cgroup if isinstance(cgroup, str) else None,
        started_steady=_moment(record.get("started_steady")),
        log_lost_bytes=_whole(record.get("log_lost_bytes")),
        pid_namespace=_whole(record.get("pid_namespace")) or None,
    )


@dataclass(frozen=True, slots=True)
class Described:
    """`spec.json`: which attempt a directory belongs to, and what it occupies."""

    uid: str
    log_directory: str
    gpu_uuids: tuple[str, ...]


def parse_spec(content: bytes) -> Described | None:
    """The description; None when it cannot be understood."""
    record = _object(content)
    if record is None:
        return None
    uid, log, uuids = record.get("uid"), record.get("log_directory"), record.get("gpu_uuids")
    if not isinstance(uid, str) or not isinstance(log, str):
        return None
    # A description of an older version names no GPUs.
    named = uuids[:MAX_GPUS] if isinstance(uuids, list) else []
    return Described(uid, log, tuple(each for each in named if isinstance(each, str) and len(each) <= MAX_UUID))


def parse_lock(content: bytes, boot_id: str) -> ProcessIdentity | None:
    """The supervisor that has, or had, the lock since this start of the machine."""
    record = _object(content)
    return None if record is None or record.get("boot_id") != boot_id else parse_identity(record)


def parse_outcome(content: bytes, written_at: float) -> Outcome | None:
    """The outcome; None when it cannot be understood. `written_at` is the time of its file."""
    record = _object(content)
    reason = None if record is None else record.get("reason")
    if record is None or not isinstance(reason, str) or reason not in REASONS:
        return None
    return Outcome(
        reason=reason,
        exit_code=_whole(record.get("exit_code"), 255),
        signal=_whole(record.get("signal"), 64),
        error=_text(record.get("error")),
        stop_requested=record.get("stop_requested") is True,
        stop_rung=_rung(record.get("stop_rung")),
        last_step=_whole(record.get("last_step")),
        phrases=_texts(record.get("phrases")),
        started_at=_moment(record.get("started_at")),
        ended_at=_ended_at(record, written_at),
        survivors_killed=_whole(record.get("survivors_killed")) or 0,
        seconds=_moment(record.get("seconds")),
        log_offset=_whole(record.get("log_offset")),
        log_bytes=_whole(record.get("log_bytes")) or 0,
        log_lost_bytes=_whole(record.get("log_lost_bytes")) or 0,
        error_number=_whole(record.get("error_number")),
        error_file=_text(record.get("error_file")),
    )


def damaged_outcome(at: float) -> Outcome:
    """What an `exit.json` of this time that cannot be understood amounts to when no supervisor is left."""
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
    """A process in a record."""
    if not isinstance(given, dict):
        return None
    pid, start = _whole(given.get("pid")), number(given.get("start"))
    return None if not pid or pid > _LAST_PID or start is None else ProcessIdentity(pid, start)


def _text(given: object) -> str | None:
    return given[:_LONGEST_TEXT] if isinstance(given, str) else None


def _object(content: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _whole(value: object, most: int = 2**53) -> int | None:
    figure = number(value)
    return None if figure is None or not figure.is_integer() or not 0 <= figure <= most else int(figure)


def _moment(value: object) -> float | None:
    figure = number(value)
    return figure if figure is not None and 0 <= figure <= _LAST_SECOND else None


def _ended_at(record: Mapping[str, Any], written_at: float) -> float:
    told = _moment(record.get("ended_at"))
    return min(max(0.0, written_at), _LAST_SECOND) if told is None else told


def _texts(given: object) -> frozenset[str]:
    if not isinstance(given, list):
        return frozenset()
    return frozenset(text[:_LONGEST_TEXT] for text in given[:_MOST_TEXTS] if isinstance(text, str))


def _rung(value: object) -> StopRung | None:
    try:
        return StopRung(str(value))
    except ValueError:
        return None
