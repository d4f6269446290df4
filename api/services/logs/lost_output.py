"""How much of what a task printed is in no log: the disk was full, or it came faster than it could be kept."""

from collections.abc import Sequence

from api.executors.records import parse_runner
from api.models.training import Attempt
from api.storage.task_files import TaskFiles
from api.utils.foreign_files import read


def count_lost(attempts: Sequence[Attempt], files: TaskFiles) -> int | None:
    """In bytes, over all attempts; None when none of them has told yet."""
    told = [count for attempt in attempts if (count := _told(attempt, files)) is not None]
    return sum(told) if told else None


def _told(attempt: Attempt, files: TaskFiles) -> int | None:
    """By its outcome, or by the record of the supervisor that runs."""
    if attempt.outcome is not None:
        count = attempt.outcome.get("log_lost_bytes")
        return count if isinstance(count, int) else None
    try:
        runner = parse_runner(read(str(files.attempts / str(attempt.number) / "runner.json")))
    except OSError:
        return None
    return None if runner is None or runner.log_lost_bytes is None else max(0, runner.log_lost_bytes)
