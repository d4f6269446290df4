"""Tells a refusal for now from one for good: Slurm answers both by the same number, and says only to its log which.

A limit of accounting on how many jobs are submitted passes; one on the size of a job with DenyOnLimit does not. So the
least job that there can be is offered by the same account, QOS and partition: where it is taken, it is the size.
"""

import errno
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from api.domain.reason import Reason
from api.executors.executor import EngineFull, EngineNever
from api.executors.slurm.ahead import AheadJobs
from api.executors.slurm.client import QUEUE_FULL, SlurmRefused
from api.executors.slurm.cluster import ClusterWatch

#: Slurm's number for a job that violates a limit of accounting, whichever.
OVER_LIMIT = 2050

#: Seconds for which Slurm is not asked again for room for the same attempt.
REST_SECONDS = 10.0

#: Seconds without another refusal after which one is no longer told.
_OLD_SECONDS = 120.0

#: Seconds after which Slurm throws out an offered job that nobody has ended.
_OFFER_SECONDS = 300

_OFFER = "#!/bin/sh\nexit 0\n"

#: What an offered job has in common with the one that was refused.
_COMMON = ("partition", "constraints", "account", "qos", "environment", "current_working_directory")


@dataclass(frozen=True, slots=True)
class _Full:
    """A refusal for now."""

    at: float  #: monotonic
    reason: Reason


class SubmitRoom:
    """Hands jobs over, and keeps for which attempts Slurm has no room now."""

    def __init__(self, watch: ClusterWatch, ahead: AheadJobs, begun: Callable[[], Collection[int]]) -> None:
        """`begun` gives the numbers of the jobs of attempts."""
        self._watch = watch
        self._ahead = ahead
        self._begun = begun
        self._full: dict[str, _Full] = {}  #: by the attempt's uid

    def why(self, uid: str) -> Reason | None:
        """Why an attempt waits to be handed over; None for any other."""
        known = self._full.get(uid)
        return known.reason if known is not None and time.monotonic() - known.at < _OLD_SECONDS else None

    def submit(self, uid: str, script: str, job: Mapping[str, object]) -> int:
        """Hands a job over; returns its number. Raises OSError; EngineFull while there is no room, at once where that
        was found a moment ago, and EngineNever where there will be none.
        """
        known = self._full.get(uid)
        if known is not None and time.monotonic() - known.at < REST_SECONDS:
            raise EngineFull(errno.EAGAIN, known.reason.text)
        try:
            number = self._submit(script, job)
        except SlurmRefused as error:
            if error.number not in (OVER_LIMIT, QUEUE_FULL):
                raise
            raise self._wait(uid, error.number) from error
        self._full.pop(uid, None)
        return number

    def _submit(self, script: str, job: Mapping[str, object]) -> int:
        try:
            return self._watch.submit(script, job)
        except SlurmRefused as error:
            if error.number != OVER_LIMIT:
                raise
            if self._is_for_good(job):
                raise EngineNever(errno.EREMOTEIO, error.strerror) from error
            # Who has its GPUs here goes before who only waits for some.
            if not self._ahead.give_way(job.get("account"), job.get("qos"), self._begun()):
                raise
        return self._watch.submit(script, job)

    def _is_for_good(self, job: Mapping[str, object]) -> bool:
        if self._watch.would_take(_OFFER, _offer_like(job)):
            return True
        look = self._watch.look(fresh=True)
        # Where nobody has a job, nobody's end makes room.
        return look.problem is None and all(other.is_over for other in look.all)

    def _wait(self, uid: str, number: int | None) -> EngineFull:
        now = time.monotonic()
        self._full = {each: full for each, full in self._full.items() if now - full.at < _OLD_SECONDS}
        reason = _FULL_QUEUE if number == QUEUE_FULL else _FULL_ACCOUNT
        self._full[uid] = _Full(now, reason)
        return EngineFull(errno.EAGAIN, reason.text)


_FULL_ACCOUNT = Reason.of(
    "waits to be handed to Slurm: as many jobs are submitted as a limit of its user, account or QOS allows",
    "slurm_submit_limit",
)
_FULL_QUEUE = Reason.of("waits to be handed to Slurm: as many jobs are there as it holds at all", "slurm_queue_full")


def _offer_like(job: Mapping[str, object]) -> dict[str, object]:
    """The least job with the rights of this one, which never begins."""
    return {name: job[name] for name in _COMMON if name in job} | {
        # By another name and comment it is nothing of an attempt.
        "name": f"{job['name']} room",
        "comment": f"{job['comment']} room",
        "hold": True,
        "deadline": int(time.time()) + _OFFER_SECONDS,
        "time_limit": {"set": True, "infinite": False, "number": 1},
        "standard_output": "/dev/null",
        "standard_error": "/dev/null",
        "minimum_nodes": 1,
        "maximum_nodes": 1,
        "tasks": 1,
        "tres_per_node": "gres/gpu:1",
    }
