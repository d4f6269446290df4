"""An attempt that lives on this machine although the database does not know it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stray:
    """A stray attempt. `supervisor_pid` None: it has lost its supervisor; a stop gives it a new one first."""

    attempt: str
    task_id: str
    gpu_ids: tuple[int, ...]
    gpu_uuids: tuple[str, ...]
    supervisor_pid: int | None
    pids: tuple[int, ...]  #: the pids of its processes
    directory: str
    reason: str
