"""Output of tasks that is missing in their logs, because the disk was full or the output too fast."""

from collections.abc import Sequence
from pathlib import Path

from api.domain.training import Attempt
from api.executors.executor import AttemptRef, Executor
from api.files.task_files import task_files


class LostOutput:
    """Counts lost bytes, from the outcome of ended attempts and the supervisor of running ones."""

    def __init__(self, executor: Executor, storage_root: Path) -> None:
        self._executor = executor
        self._storage_root = storage_root

    def count(self, attempts: Sequence[Attempt]) -> int | None:
        """Return the lost bytes of these attempts together, or None if none is known."""
        known = [count for attempt in attempts if (count := self._lost_bytes(attempt)) is not None]
        return sum(known) if known else None

    def _lost_bytes(self, attempt: Attempt) -> int | None:
        if attempt.outcome is not None:
            count = attempt.outcome.get("log_lost_bytes")
            return count if isinstance(count, int) else None
        files = task_files(self._storage_root, attempt.task_id)
        return self._executor.lost_bytes(AttemptRef(attempt.uid, files.attempts / str(attempt.number), files.log))
