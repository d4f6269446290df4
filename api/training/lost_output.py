"""How much of what a task printed is in no log: the disk was full, or it came faster than it could be kept."""

from collections.abc import Sequence
from pathlib import Path

from api.domain.training import Attempt
from api.executors.executor import AttemptRef, Executor
from api.files.task_files import task_files


class LostOutput:
    """Counts lost bytes: by the outcome of an ended attempt, by the supervisor of a running one."""

    def __init__(self, executor: Executor, storage_root: Path) -> None:
        self._executor = executor
        self._storage_root = storage_root

    def count(self, attempts: Sequence[Attempt]) -> int | None:
        """The lost bytes of all these attempts together; None when none of them has told yet."""
        told = [count for attempt in attempts if (count := self._told(attempt)) is not None]
        return sum(told) if told else None

    def _told(self, attempt: Attempt) -> int | None:
        if attempt.outcome is not None:
            count = attempt.outcome.get("log_lost_bytes")
            return count if isinstance(count, int) else None
        files = task_files(self._storage_root, attempt.task_id)
        return self._executor.lost_bytes(AttemptRef(attempt.uid, files.attempts / str(attempt.number), files.log))
