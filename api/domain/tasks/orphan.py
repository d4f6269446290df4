"""Attempts that run on this machine but are unknown to the database."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Orphan:
    """An orphaned attempt.

    `supervisor_pid` is None if its supervisor is lost; a stop then starts a new one first.
    """

    attempt: str  #: id of the attempt
    task_id: str
    gpu_ids: tuple[int, ...]
    gpu_uuids: tuple[str, ...]
    supervisor_pid: int | None  #: null: its supervisor is lost
    pids: tuple[int, ...]  #: process ids of the attempt
    directory: str  #: directory of the attempt
    reason: str  #: why it belongs to no task
