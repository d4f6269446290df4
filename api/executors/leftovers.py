"""Finds the processes that are left of an attempt, by marker, list and control group."""

from pathlib import Path

from api.executors.attempt.cgroup import find_cgroup
from api.executors.attempt.processes import is_alive, marked_processes
from api.executors.attempt.seen_processes import read_seen_processes


def list_leftovers(uid: str, directory: Path, cgroup: str | None) -> list[int]:
    """The pids of live processes with its marker, on its supervisor's list, or in its control group."""
    listed = {pid for pid, start in read_seen_processes(str(directory)) if is_alive(pid, start)}
    group = find_cgroup(cgroup, uid)
    return sorted({*marked_processes(uid), *listed, *(group.pids() if group is not None else ())})
