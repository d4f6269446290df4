"""End attempts that no process on a node can end: write the outcome after raising the fence."""

import fcntl
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.executors.attempt.directory import AttemptDirectory
from api.executors.attempt.small_files import read_json
from api.executors.executor import AttemptRef, Observation
from api.executors.slurm.jobs import Job
from api.executors.slurm.notes import JobNote, has_no_output
from api.executors.slurm.reasons import how_ended
from api.executors.slurm.storage_check import failed_storage_check
from api.util.files.foreign_files import ForeignFile, open_own, read

#: Seconds to wait for a held lock after the job has certainly ended. A dead node's lock on a file server expires with
#: its lease. The lock of a node that is only disconnected shows that the node lives.
LOCK_SECONDS = 120.0

#: Reasons that are more precise than could_not_start.
_INFORMATIVE = frozenset({"node_lost", "storage_unseen"})

#: States of an unstarted job after which it may be submitted again.
THROWN_OUT = frozenset({"CANCELLED", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"})

#: The number of jobs of an attempt that may end in another state without output, before it counts as unable to start.
MOST_LOST = 3

#: The maximum length of quoted job output in an outcome, in characters.
_MOST_QUOTED = 500


#: The advice if a job has printed nothing.
_HINT = "check that its node has this STORAGE_ROOT, and this program, at the same paths"


class AttemptEnds:
    """Writes outcomes for attempts whose job has ended and whose supervisor has not written one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._tried: dict[Path, float] = {}  # monotonic time of the first try to take the lock

    def end(self, directory: Path, reason: str, message: str, *, is_seen_over: bool = False) -> bool:
        """Record the outcome. Return False while a supervisor that may live holds the lock.

        The fence is raised, so that this supervisor gives way; the caller retries later. `is_seen_over` means that the
        node itself has reported the end, so a held lock belongs to a dead process. Raises OSError.
        """
        files = AttemptDirectory(str(directory))
        lock = self._lock(files, directory, is_seen_over)
        if lock is None:
            return False
        try:
            files.claim(lock)
            files.write_outcome(_outcome(files, reason, message))
            files.remove_secrets()
            files.remove_leftovers()
        finally:
            os.close(lock)
        self._tried.pop(directory, None)
        return True

    def _lock(self, files: AttemptDirectory, directory: Path, is_seen_over: bool) -> int | None:
        """Return the lock's handle, or a handle without the lock if its holder is dead; None to wait."""
        handle = open_own(files.path("lock"), os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            since = self._tried.get(directory)
            if since is None:
                files.supersede()
                self._tried[directory] = self._monotonic()
            elif is_seen_over and self._monotonic() - since >= LOCK_SECONDS:
                return handle
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        return handle


def _outcome(files: AttemptDirectory, reason: str, message: str) -> dict[str, object]:
    runner = _record(files.path("runner.json"))
    files.raise_fence(_float(runner, "fence"))
    has_started = runner.get("trainer") is not None
    was_stopped = files.has("stop.json")
    if not has_started:
        is_explained = was_stopped or reason == "storage_unseen"
        message = f"{message}{'' if is_explained else _quote(files)}"
        reason = "stopped_before_start" if was_stopped else (reason if reason in _INFORMATIVE else "could_not_start")
    status = runner.get("stop_rung") or runner.get("rung")
    return {
        "uid": runner.get("uid"),
        "fence": files.fence,
        "reason": reason,
        "exit_code": None,
        "signal": None,
        "error": message[:2000],
        "stop_requested": was_stopped,
        "stop_rung": status if isinstance(status, str) else None,
        "last_step": runner.get("last_step"),
        "phrases": runner.get("phrases") or [],
        "started_at": runner.get("started_at"),
        "ended_at": (files.last_beat() if has_started else None) or time.time(),
        "survivors_killed": 0,
        "log_offset": runner.get("log_offset"),
        "log_lost_bytes": runner.get("log_lost_bytes") or 0,
    }


def _record(path: str) -> Mapping[str, Any]:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}


def _float(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _quote(files: AttemptDirectory) -> str:
    """Return the end of the job's own output, as a clause."""
    try:
        text = read(files.path("supervisor.log"), 2**20).decode(errors="replace").strip()
    except (OSError, ForeignFile):
        text = ""
    return f": {text[-_MOST_QUOTED:]}" if text else f"; {_HINT}"


def may_submit_again(ref: AttemptRef, job: Job, noted: JobNote | None) -> bool:
    """Return whether to resubmit a job that ended before it started, without an order of this service.

    A controller that uses a number twice cancels one of the two jobs, or mixes up their ends.
    """
    if os.path.lexists(ref.directory / "stop.json") or failed_storage_check(job):
        return False
    is_quiet = (noted is None or noted.lost < MOST_LOST) and has_no_output(ref.directory)
    return is_quiet or not job.states.isdisjoint(THROWN_OUT)


def why_ended(job: Job | None, ref: AttemptRef) -> tuple[str, str]:
    """Return the reason and the message of an outcome that no supervisor has recorded."""
    reason, message = how_ended(job, ref.directory)
    # After a stop order of this service, the cancellation of the job is not the cause.
    is_ordered = reason == "job_cancelled" and os.path.lexists(ref.directory / "stop.json")
    return ("supervisor_lost" if is_ordered else reason), message


def refine(ended: Observation, job: Job | None, noted: JobNote | None, ref: AttemptRef) -> Observation:
    """Add the cause that Slurm knows to a recorded end.

    A trainer that is preempted or timed out receives a signal like any other, so its own outcome does not show it.
    """
    outcome = ended.outcome
    if outcome is None or not outcome.stop_requested or outcome.reason != "exited":
        return ended
    reason, message = why_ended(job, ref)
    if reason in ("supervisor_lost", "job_cancelled") and noted is not None and noted.leaves is not None:
        reason, message = noted.leaves, noted.said
    elif reason == "supervisor_lost" and (job is None or job.was_requeued):
        # If this service has not ordered it, either.
        reason = reason if os.path.lexists(ref.directory / "stop.json") else "job_lost"
    return (
        ended if reason == "supervisor_lost" else replace(ended, outcome=replace(outcome, reason=reason, error=message))
    )
