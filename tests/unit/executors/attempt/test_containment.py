import os
from pathlib import Path

import pytest

from api.executors.attempt import containment as containment_module
from api.executors.attempt.cgroup import Cgroup
from api.executors.attempt.containment import BIRTH_SECONDS, Containment, read_seen_processes
from api.executors.attempt.processes import Tree, read_stat


@pytest.fixture
def tree() -> Tree:
    return Tree("a.1")


def me() -> tuple[int, int]:
    stat = read_stat(os.getpid())
    assert stat is not None
    return stat.pid, stat.start


def test_trainer_is_started_without_a_control_group(
    tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containment_module, "own_cgroup", lambda: None)
    contained = Containment(str(tmp_path))
    contained.prepare(tree)
    assert (contained.spawn(tree, lambda: (7, 9)), contained.path, tree.cgroup) == ((7, 9), None, None)


def test_trainer_is_started_in_its_control_group_and_the_supervisor_returns(
    tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {name: Cgroup(str(tmp_path / name)) for name in ("own", "attempt")}
    for group in groups.values():
        Path(group.path).mkdir()
    monkeypatch.setattr(containment_module, "own_cgroup", lambda: groups["own"])
    monkeypatch.setattr(containment_module, "make_cgroup", lambda own, uid: groups["attempt"])
    moves: list[str] = []
    monkeypatch.setattr(Cgroup, "move_here", lambda group: moves.append(Path(group.path).name))
    contained = Containment(str(tmp_path))
    contained.prepare(tree)
    assert contained.path == str(tmp_path / "attempt")

    def start() -> tuple[int, int]:
        moves.append("start")
        raise OSError("no such program")

    with pytest.raises(OSError, match="no such program"):
        contained.spawn(tree, start)
    assert moves == ["attempt", "start", "own"]


def test_seen_processes_are_listed_for_the_next_supervisor(
    tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tree, "observe", lambda _: None)
    contained = Containment(str(tmp_path))
    tree.restore({me()})
    contained.observe(tree)
    assert me() in set(read_seen_processes(str(tmp_path)))
    again = Tree("a.1")
    Containment(str(tmp_path)).resume(again, None, is_same_boot=True)
    assert me() in set(again.known)
    other_boot = Tree("a.1")
    Containment(str(tmp_path)).resume(other_boot, None, is_same_boot=False)
    assert me() not in set(other_boot.known)


def test_search_for_new_processes_is_rate_limited(tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(containment_module.time, "monotonic", lambda: now[0])
    observations: list[float] = []
    monkeypatch.setattr(Tree, "observe", lambda _: observations.append(now[0]))
    contained = Containment(str(tmp_path))
    for _ in range(4):
        contained.observe(tree)
        now[0] += BIRTH_SECONDS / 3.9
    assert len(observations) == 2


def test_nothing_is_left_after_remove(tmp_path: Path, tree: Tree) -> None:
    contained = Containment(str(tmp_path))
    contained.observe(tree)
    contained.remove()
    assert list(tmp_path.iterdir()) == []
