"""Attempts that run on this machine but are unknown to the database."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Orphan:
    """An orphaned attempt.

    `supervisor_pid` is None if its supervisor is lost; a stop then starts a new one first.
    """

    attempt: str
    task_id: str
    gpu_ids: tuple[int, ...]
    gpu_uuids: tuple[str, ...]
    supervisor_pid: int | None
    pids: tuple[int, ...]  #: process ids of the attempt
    directory: str
    reason: str
