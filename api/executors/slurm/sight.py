"""Whether the machines of the cluster see the STORAGE_ROOT as it is here: each job looks before it begins anything.

A machine with Slurm alone has no program of this service that could probe it. Left alone, Slurm makes the directories
that it misses there, so that a job would write its outcome where nobody reads it, and draw the next one to its GPUs.
"""

import logging
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from api.domain.reason import Reason
from api.executors.slurm.jobs import AHEAD, Job
from api.util.foreign_files import ForeignFile, read, write

logger = logging.getLogger(__name__)

#: The exit codes of a job that does not find its attempt's directory as it was written here, or may not write there.
UNSEEN, UNWRITABLE = 113, 114

#: The file in an attempt's directory by which its machine knows that: it holds the attempt's uid.
MARK = "uid"

#: Seconds for which a job looks: a file server may be slow, and a directory of NFS be remembered for a while.
LOOK_SECONDS = 20.0

#: Seconds for which nothing is started on a machine on which a job has found nothing; then one tries again.
REST_SECONDS = 300.0

#: Between two looks of a job at whether its look has ended.
_PACE = 0.05

_LOOK = """\
directory={directory} uid={uid}
# In a process of its own: a file server that is away holds whoever asks it.
(until read -r found <"$directory/{mark}" && [ "$found" = "$uid" ]; do sleep 0.5; done) 2>/dev/null &
look=$! waited=0
while kill -0 "$look" 2>/dev/null; do
    if [ "$waited" -ge {most} ]; then
        kill -9 "$look"
        exit {unseen}
    fi
    sleep {pace}
    waited=$((waited + 1))
done
(: >>"$directory/supervisor.log") 2>/dev/null || exit {unwritable}
exec >>"$directory/supervisor.log" 2>&1
"""


def write_mark(directory: Path, uid: str) -> None:
    """Writes what a job of this attempt looks for, where it is not there yet. Raises OSError."""
    path, content = str(directory / MARK), f"{uid}\n".encode()
    try:
        is_there = read(path, 512) == content
    except (FileNotFoundError, ForeignFile):
        is_there = False
    if not is_there:
        write(path, content)


def write_look(directory: Path, uid: str, seconds: float) -> str:
    """The part of a job's script that looks; what comes behind it prints into the attempt's `supervisor.log`."""
    return _LOOK.format(
        directory=shlex.quote(str(directory.absolute())),
        uid=shlex.quote(uid),
        mark=MARK,
        most=round(seconds / _PACE),
        pace=_PACE,
        unseen=UNSEEN,
        unwritable=UNWRITABLE,
    )


def is_blind(job: Job) -> bool:
    """Whether a job ended as it did not find the storage, or may not write there."""
    return job.exit_code in (UNSEEN, UNWRITABLE) and "FAILED" in job.states


class StorageSight:
    """What jobs of this service have found on the machines of the cluster. Threads may share it."""

    def __init__(self, comment: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`comment` marks the jobs of this service and storage."""
        self._comments = (comment, f"{comment}{AHEAD}")
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._found: Mapping[int, tuple[Job, float]] = {}  # by number, and when (monotonic) it was seen first

    def heed(self, jobs: Iterable[Job]) -> None:
        """Takes up what Slurm lists."""
        now = self._monotonic()
        blind = {job.job_id: job for job in jobs if is_blind(job) and job.comment in self._comments}
        with self._lock:
            known = self._found
            lasts = {number: each for number, each in known.items() if now - each[1] < REST_SECONDS}
            # One that is listed is kept: else it would be news again.
            self._found = lasts | {number: known.get(number, (job, now)) for number, job in blind.items()}
        for number in blind.keys() - known.keys():
            job = blind[number]
            extra = {"node": ", ".join(job.nodes), "job": number, "code": job.exit_code}
            logger.warning("a machine of the cluster does not share STORAGE_ROOT", extra=extra)

    def why_not(self, node: str) -> Reason | None:
        """Why nothing is to be started on a machine; None where nothing is known against it."""
        now = self._monotonic()
        with self._lock:
            found = [job for job, at in self._found.values() if node in job.nodes and now - at < REST_SECONDS]
        if not found:
            return None
        last = max(found, key=lambda job: job.job_id)
        return Reason.of("its machine does not share STORAGE_ROOT: {why}", "storage_not_shared", why=_tell(last))


def _tell(job: Job) -> Reason:
    if job.exit_code == UNWRITABLE:
        return Reason.of(
            "Slurm's job {job} may not write there: let the service's user write to it",
            "storage_unwritten_by_job",
            job=job.job_id,
        )
    return Reason.of(
        "Slurm's job {job} did not find there what this server has written: mount it there, at the same path",
        "storage_unseen_by_job",
        job=job.job_id,
    )
