import errno
import os
from pathlib import Path

import pytest

from api.executors.attempt import seen_processes as family_module
from api.executors.attempt.processes import read_stat
from api.executors.attempt.seen_processes import SEEN_PROCESSES, SeenProcesses, read_seen_processes
from tests.faults import Faults


def _own() -> tuple[int, int]:
    stat = read_stat(os.getpid())
    assert stat is not None
    return stat.identity


def test_whoever_was_noted_is_found_and_who_still_runs_is_restored(tmp_path: Path) -> None:
    family = SeenProcesses(str(tmp_path))
    family.note({(7, 70)})
    family.note({(7, 70), _own()})
    assert read_seen_processes(str(tmp_path)) == {(7, 70), _own()}
    assert SeenProcesses(str(tmp_path)).restore() == {_own()}


def test_the_list_of_an_earlier_boot_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SeenProcesses(str(tmp_path)).note({(7, 70)})
    monkeypatch.setattr(family_module, "boot_id", lambda: "another")
    assert read_seen_processes(str(tmp_path)) == set()


def test_a_list_that_is_full_keeps_who_is_there_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family_module, "MOST", 10)
    family = SeenProcesses(str(tmp_path))
    for pid in range(100, 200):
        family.note({(50, 1), (pid, 2)})
    found = read_seen_processes(str(tmp_path))
    assert {(50, 1), (199, 2)} <= found
    assert len(found) <= 10


@pytest.mark.parametrize("content", [b"", b"x" * 47, b"\0" * 100, b"\xff" * 5000])
def test_a_damaged_list_names_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SEEN_PROCESSES).write_bytes(content)
    assert read_seen_processes(str(tmp_path)) == set()


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SEEN_PROCESSES)
    assert read_seen_processes(str(tmp_path)) == set()


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    family = SeenProcesses(str(tmp_path))
    family.note({(7, 70)})
    family.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_list_whose_space_is_refused_at_first_has_its_head_later(tmp_path: Path, faults: Faults) -> None:
    family = SeenProcesses(str(tmp_path))
    faults.strike("posix_fallocate", SEEN_PROCESSES, errno.ENOSPC, times=1)
    family.note({(7, 70)})
    family.note({(7, 70), (8, 80)})
    assert read_seen_processes(str(tmp_path)) == {(7, 70), (8, 80)}
