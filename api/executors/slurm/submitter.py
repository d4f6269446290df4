"""Distinguish temporary from permanent rejections, for which Slurm returns the same error number.

A limit on the number of submitted jobs is temporary. A limit on a job's size (with DenyOnLimit) is permanent. So a
minimal job with the same account, QOS and partition is submitted: if Slurm accepts it, the size was the reason.
"""

import errno
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from api.domain.reason import Reason
from api.executors.executor import EngineFull, EngineRejected
from api.executors.slurm.client import QUEUE_FULL, SlurmRefused
from api.executors.slurm.cluster import ClusterWatch
from api.executors.slurm.early_jobs import EarlyJobs

#: Slurm's error number for a job that violates any accounting limit.
OVER_LIMIT = 2050

#: Seconds in which a rejected attempt is not submitted again.
REST_SECONDS = 10.0

#: Seconds after the last rejection for which it is still reported.
_OLD_SECONDS = 120.0

#: Seconds after which Slurm removes a test job that was not cancelled.
_TEST_JOB_SECONDS = 300

_TEST_SCRIPT = "#!/bin/sh\nexit 0\n"

#: Fields that a test job copies from the rejected one.
_COMMON = ("partition", "constraints", "account", "qos", "environment", "current_working_directory")


@dataclass(frozen=True, slots=True)
class _Rejection:
    """A temporary rejection."""

    at: float  #: monotonic
    reason: Reason


class JobSubmitter:
    """Submits jobs, and remembers the attempts that Slurm has rejected for now."""

    def __init__(self, watch: ClusterWatch, ahead: EarlyJobs, started: Callable[[], Collection[int]]) -> None:
        """Submit through `watch`. `started` returns the job numbers of attempts."""
        self._watch = watch
        self._ahead = ahead
        self._started = started
        self._rejections: dict[str, _Rejection] = {}  #: by the attempt's uid

    def why(self, uid: str) -> Reason | None:
        """Return why an attempt waits for submission; None for any other."""
        known = self._rejections.get(uid)
        return known.reason if known is not None and time.monotonic() - known.at < _OLD_SECONDS else None

    def submit(self, uid: str, script: str, job: Mapping[str, object]) -> int:
        """Submit a job; return its number.

        Raises OSError; EngineFull if there is no capacity now, without a call if that was found recently;
        EngineRejected if the rejection is permanent.
        """
        known = self._rejections.get(uid)
        if known is not None and time.monotonic() - known.at < REST_SECONDS:
            raise EngineFull(errno.EAGAIN, known.reason.text)
        try:
            number = self._submit(script, job)
        except SlurmRefused as error:
            if error.number not in (OVER_LIMIT, QUEUE_FULL):
                raise
            raise self._wait(uid, error.number) from error
        self._rejections.pop(uid, None)
        return number

    def _submit(self, script: str, job: Mapping[str, object]) -> int:
        try:
            return self._watch.submit(script, job)
        except SlurmRefused as error:
            if error.number != OVER_LIMIT:
                raise
            if self._is_permanent(job):
                raise EngineRejected(errno.EREMOTEIO, error.strerror) from error
            # An attempt with claimed GPUs has precedence over early jobs.
            if not self._ahead.give_way(job.get("account"), job.get("qos"), self._started()):
                raise
        return self._watch.submit(script, job)

    def _is_permanent(self, job: Mapping[str, object]) -> bool:
        if self._watch.would_accept(_TEST_SCRIPT, _test_job_like(job)):
            return True
        poll = self._watch.poll(fresh=True)
        # If there are no running jobs, no job's end can free capacity.
        return poll.problem is None and all(other.is_over for other in poll.all)

    def _wait(self, uid: str, number: int | None) -> EngineFull:
        now = time.monotonic()
        self._rejections = {each: full for each, full in self._rejections.items() if now - full.at < _OLD_SECONDS}
        reason = _FULL_QUEUE if number == QUEUE_FULL else _FULL_ACCOUNT
        self._rejections[uid] = _Rejection(now, reason)
        return EngineFull(errno.EAGAIN, reason.text)


_FULL_ACCOUNT = Reason.of(
    "waits for submission to Slurm: a limit of its user, account or QOS on submitted jobs is reached",
    "slurm_submit_limit",
)
_FULL_QUEUE = Reason.of("waits for submission to Slurm: the maximum number of jobs is reached", "slurm_queue_full")


def _test_job_like(job: Mapping[str, object]) -> dict[str, object]:
    """Return the smallest job with the permissions of this one, which never starts."""
    return {name: job[name] for name in _COMMON if name in job} | {
        # With another name and comment it belongs to no attempt.
        "name": f"{job['name']} room",
        "comment": f"{job['comment']} room",
        "hold": True,
        "deadline": int(time.time()) + _TEST_JOB_SECONDS,
        "time_limit": {"set": True, "infinite": False, "number": 1},
        "standard_output": "/dev/null",
        "standard_error": "/dev/null",
        "minimum_nodes": 1,
        "maximum_nodes": 1,
        "tasks": 1,
        "tres_per_node": "gres/gpu:1",
    }
