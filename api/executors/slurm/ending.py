"""Ends an attempt that nobody on a node can end any more: its outcome, behind a fence that stops whoever is left."""

import fcntl
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.executors.attempt.directory import AttemptDirectory
from api.executors.attempt.files import read_json
from api.executors.executor import AttemptRef, Observation
from api.executors.slurm.jobs import Job
from api.executors.slurm.notes import JobNote, left_no_word
from api.executors.slurm.sight import is_blind
from api.executors.slurm.words import how_ended
from api.util.foreign_files import ForeignFile, open_own, read

#: Seconds for which a held lock is waited for where nothing is left of who had it: a dead machine's lock on a file
#: server goes with its lease. Of a machine that is only cut off, a lock is the sign that it lives.
LOCK_SECONDS = 120.0

#: Reasons that say more than that it could not start.
_TELLING = frozenset({"node_lost", "storage_unseen"})

#: States of a job that has not begun in which it may be submitted once more.
THROWN_OUT = frozenset({"CANCELLED", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"})

#: How many jobs of an attempt may be over in any other state without a word before it counts as one that cannot start.
MOST_LOST = 3

#: The most characters of what the job printed that an outcome quotes.
_MOST_QUOTED = 500


#: What may be wrong where a job has left no word at all.
_HINT = "does its machine have this STORAGE_ROOT, and this program, at the same paths?"


class AttemptEnds:
    """Writes outcomes for attempts whose job is over and whose supervisor has left none."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._tried: dict[Path, float] = {}  # monotonic, when the lock was first wanted

    def end(self, directory: Path, reason: str, said: str, *, is_seen_over: bool = False) -> bool:
        """Records the outcome; False while a supervisor that may live has the lock: it is told to give way, and this
        is to be called again. Raises OSError.

        `is_seen_over`: its machine itself has told that nothing of it is left; the lock is a dead one's then.
        """
        files = AttemptDirectory(str(directory))
        lock = self._lock(files, directory, is_seen_over)
        if lock is None:
            return False
        try:
            files.claim(lock)
            files.write_outcome(_outcome(files, reason, said))
            files.remove_secrets()
            files.remove_leftovers()
        finally:
            os.close(lock)
        self._tried.pop(directory, None)
        return True

    def _lock(self, files: AttemptDirectory, directory: Path, is_seen_over: bool) -> int | None:
        """The lock, or what may be gone on with when nobody gives it back; None to wait."""
        handle = open_own(files.path("lock"), os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            since = self._tried.get(directory)
            if since is None:
                files.surpass()
                self._tried[directory] = self._monotonic()
            elif is_seen_over and self._monotonic() - since >= LOCK_SECONDS:
                return handle
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        return handle


def _outcome(files: AttemptDirectory, reason: str, said: str) -> dict[str, object]:
    runner = _record(files.path("runner.json"))
    files.raise_fence(_figure(runner, "fence"))
    has_begun = runner.get("trainer") is not None
    was_stopped = files.has("stop.json")
    if not has_begun:
        is_told = was_stopped or reason == "storage_unseen"
        said = f"{said}{'' if is_told else _quote(files)}"
        reason = "stopped_before_start" if was_stopped else (reason if reason in _TELLING else "could_not_start")
    status = runner.get("stop_rung") or runner.get("rung")
    return {
        "uid": runner.get("uid"),
        "fence": files.fence,
        "reason": reason,
        "exit_code": None,
        "signal": None,
        "error": said[:2000],
        "stop_requested": was_stopped,
        "stop_rung": status if isinstance(status, str) else None,
        "last_step": runner.get("last_step"),
        "phrases": runner.get("phrases") or [],
        "started_at": runner.get("started_at"),
        "ended_at": (files.last_beat() if has_begun else None) or time.time(),
        "survivors_killed": 0,
        "log_offset": runner.get("log_offset"),
        "log_lost_bytes": runner.get("log_lost_bytes") or 0,
    }


def _record(path: str) -> Mapping[str, Any]:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}


def _figure(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _quote(files: AttemptDirectory) -> str:
    """The last words of the job itself."""
    try:
        text = read(files.path("supervisor.log"), 2**20).decode(errors="replace").strip()
    except (OSError, ForeignFile):
        text = ""
    return f": {text[-_MOST_QUOTED:]}" if text else f"; {_HINT}"


def may_submit_again(ref: AttemptRef, job: Job, noted: JobNote | None) -> bool:
    """Return whether a job that has not begun was ended by nobody here: a controller that gives a number twice throws
    out the one, or takes the end of the other for that of this one.
    """
    if os.path.lexists(ref.directory / "stop.json") or is_blind(job):
        return False
    is_quiet = (noted is None or noted.lost < MOST_LOST) and left_no_word(ref.directory)
    return is_quiet or not job.states.isdisjoint(THROWN_OUT)


def why_ended(job: Job | None, ref: AttemptRef) -> tuple[str, str]:
    """Return the reason of an outcome that no supervisor has recorded, and what Slurm says of it."""
    reason, said = how_ended(job, ref.directory)
    # After an order of this service its own cancellation is not the cause.
    is_ordered = reason == "job_cancelled" and os.path.lexists(ref.directory / "stop.json")
    return ("supervisor_lost" if is_ordered else reason), said


def refine(ended: Observation, job: Job | None, noted: JobNote | None, ref: AttemptRef) -> Observation:
    """The end with what Slurm knows, or knew, of its cause: who leaves for it hears a signal like any other."""
    outcome = ended.outcome
    if outcome is None or not outcome.stop_requested or outcome.reason != "exited":
        return ended
    reason, said = why_ended(job, ref)
    if reason in ("supervisor_lost", "job_cancelled") and noted is not None and noted.leaves is not None:
        reason, said = noted.leaves, noted.said
    elif reason == "supervisor_lost" and (job is None or job.was_forgotten):
        # Where nobody here has ordered it, either.
        reason = reason if os.path.lexists(ref.directory / "stop.json") else "job_lost"
    return ended if reason == "supervisor_lost" else replace(ended, outcome=replace(outcome, reason=reason, error=said))
