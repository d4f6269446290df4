"""Check that the cluster's nodes see this STORAGE_ROOT: each job tests it before it starts anything.

A node with only Slurm has no program of this service to test it. Without the test, Slurm would create missing
directories, so that a job would write its outcome where no server reads it, and attract the next job.
"""

import logging
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from api.domain.reason import Reason
from api.executors.slurm.jobs import EARLY_SUFFIX, Job
from api.util.files.foreign_files import ForeignFile, read, write

logger = logging.getLogger(__name__)

#: Exit codes of a job that does not find its attempt's directory as written here, or cannot write there.
UNSEEN, UNWRITABLE = 113, 114

#: The file in an attempt's directory that a job compares: it contains the attempt's uid.
MARK = "uid"

#: Seconds that a job keeps testing: a file server may be slow, and NFS caches directories.
LOOK_SECONDS = 20.0

#: Seconds for which nothing starts on a node whose test failed; then one job tries again.
REST_SECONDS = 300.0

#: Polling interval of a job for the end of its test, in seconds.
_PACE = 0.05

_STORAGE_CHECK = """\
directory={directory} uid={uid}
# In a separate process: a file server that does not answer blocks every reader.
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
    """Write the file that a job of this attempt tests, unless it exists.

    Raises OSError.
    """
    path, content = str(directory / MARK), f"{uid}\n".encode()
    try:
        is_there = read(path, 512) == content
    except (FileNotFoundError, ForeignFile):
        is_there = False
    if not is_there:
        write(path, content)


def write_storage_check(directory: Path, uid: str, seconds: float) -> str:
    """Return the part of a job's script that tests the storage. Later commands print to `supervisor.log`."""
    return _STORAGE_CHECK.format(
        directory=shlex.quote(str(directory.absolute())),
        uid=shlex.quote(uid),
        mark=MARK,
        most=round(seconds / _PACE),
        pace=_PACE,
        unseen=UNSEEN,
        unwritable=UNWRITABLE,
    )


def failed_storage_check(job: Job) -> bool:
    """Return whether a job ended because it did not find the storage, or could not write there."""
    return job.exit_code in (UNSEEN, UNWRITABLE) and "FAILED" in job.states


class StorageChecks:
    """The results of the storage tests of this service's jobs, by node. Threads may share it."""

    def __init__(self, comment: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`comment` marks the jobs of this service and storage."""
        self._comments = (comment, f"{comment}{EARLY_SUFFIX}")
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._found: Mapping[int, tuple[Job, float]] = {}  # by number, with the monotonic time of the first observation

    def update(self, jobs: Iterable[Job]) -> None:
        """Process the jobs that Slurm lists."""
        now = self._monotonic()
        blind = {job.job_id: job for job in jobs if failed_storage_check(job) and job.comment in self._comments}
        with self._lock:
            known = self._found
            lasts = {number: each for number, each in known.items() if now - each[1] < REST_SECONDS}
            # A listed job stays, or it would be reported again.
            self._found = lasts | {number: known.get(number, (job, now)) for number, job in blind.items()}
        for number in blind.keys() - known.keys():
            job = blind[number]
            extra = {"node": ", ".join(job.nodes), "job": number, "code": job.exit_code}
            logger.warning("a node of the cluster does not share STORAGE_ROOT", extra=extra)

    def why_not(self, node: str) -> Reason | None:
        """Return why nothing must start on a node, or None."""
        now = self._monotonic()
        with self._lock:
            found = [job for job, at in self._found.values() if node in job.nodes and now - at < REST_SECONDS]
        if not found:
            return None
        last = max(found, key=lambda job: job.job_id)
        return Reason.of("its machine does not share STORAGE_ROOT: {why}", "storage_not_shared", why=_explain(last))


def _explain(job: Job) -> Reason:
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
