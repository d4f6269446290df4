import errno
import os
from pathlib import Path

import pytest

from api.executors.attempt import containment as seen_module
from api.executors.attempt.containment import SEEN_PROCESSES, SeenProcesses, read_seen_processes
from api.executors.attempt.processes import read_stat
from tests.faults import Faults


def _own() -> tuple[int, int]:
    stat = read_stat(os.getpid())
    assert stat is not None
    return stat.identity


def test_noted_processes_are_found_and_running_ones_restored(tmp_path: Path) -> None:
    seen = SeenProcesses(str(tmp_path))
    seen.note({(7, 70)})
    seen.note({(7, 70), _own()})
    assert read_seen_processes(str(tmp_path)) == {(7, 70), _own()}
    assert SeenProcesses(str(tmp_path)).restore() == {_own()}


def test_list_of_an_earlier_boot_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SeenProcesses(str(tmp_path)).note({(7, 70)})
    monkeypatch.setattr(seen_module, "boot_id", lambda: "another")
    assert read_seen_processes(str(tmp_path)) == set()


def test_full_list_keeps_the_current_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_module, "MOST", 10)
    seen = SeenProcesses(str(tmp_path))
    for pid in range(100, 200):
        seen.note({(50, 1), (pid, 2)})
    found = read_seen_processes(str(tmp_path))
    assert {(50, 1), (199, 2)} <= found
    assert len(found) <= 10


@pytest.mark.parametrize("content", [b"", b"x" * 47, b"\0" * 100, b"\xff" * 5000])
def test_damaged_list_is_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SEEN_PROCESSES).write_bytes(content)
    assert read_seen_processes(str(tmp_path)) == set()


def test_pipe_instead_of_the_list_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SEEN_PROCESSES)
    assert read_seen_processes(str(tmp_path)) == set()


def test_nothing_is_left_after_remove(tmp_path: Path) -> None:
    seen = SeenProcesses(str(tmp_path))
    seen.note({(7, 70)})
    seen.remove()
    assert list(tmp_path.iterdir()) == []


def test_list_has_its_head_after_a_failed_reservation(tmp_path: Path, faults: Faults) -> None:
    seen = SeenProcesses(str(tmp_path))
    faults.strike("posix_fallocate", SEEN_PROCESSES, errno.ENOSPC, times=1)
    seen.note({(7, 70)})
    seen.note({(7, 70), (8, 80)})
    assert read_seen_processes(str(tmp_path)) == {(7, 70), (8, 80)}
