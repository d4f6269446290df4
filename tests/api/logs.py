"""Creates logs in the format of supervisors."""

from typing import Any

from api.executors.attempt.log import LogWriter
from api.executors.log_files import LogFiles
from tests.api.conftest import World

LINES = (
    "toy trainer: ready",
    "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 1.0",
    "Running eval",
    "50% of it",
    "steps: 2 loss: nan iter time (s): 1.0 samples/sec: 1.0",
    "Traceback (most recent call last):",
    '  File "train.py", line 1, in <module>',
    "ValueError: no",
)
CONTENT = "".join(f"{line}\n" for line in LINES).encode()


def write(world: World, task_id: str, content: bytes, **how: Any) -> LogWriter:
    """Append output to the log as a supervisor does."""
    settings = {"max_bytes": 2**30, "segment_bytes": 2**24, **how}
    directory = world.storage / "tasks" / task_id / "log"
    world.executor.use_log(LogFiles(directory))
    writer = LogWriter(str(directory), **settings)
    writer.open()
    for line in content.splitlines(keepends=True):
        writer.write(line)
    return writer


def run_with_log(world: World) -> str:
    """Start a training that has printed LINES; return its id."""
    task_id = world.run()
    write(world, task_id, CONTENT)
    return task_id
