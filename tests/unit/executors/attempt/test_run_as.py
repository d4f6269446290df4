import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.executors.attempt.run_as import FIRST_GROUP, GROUPS, RunAs, group_of

GIVEN: dict[str, object] = {
    "uid": 7001,
    "gid": 7002,
    "groups": [44],
    "setpriv": "/bin/setpriv",
    "files": ["config.toml"],
}

#: A fake of setpriv that does not change the user.
SAME_USER = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The directory of a task as the service creates it."""
    task = tmp_path / "tasks" / "train_1"
    for directory in (task / "output", task / "log", task / "attempts" / "1"):
        directory.mkdir(parents=True)
    for name in ("secrets.json", "attempts/1/config.toml", "attempts/1/spec.json", "attempts/1/output"):
        (task / name).touch(0o600)
    for path in (task, *task.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    return task


def run_as(task: Path, **changes: Any) -> RunAs:
    return RunAs(GIVEN | {"output": str(task / "output")} | changes)


@pytest.fixture
def own_groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use this process's own group for both, so that no privileges are needed."""
    monkeypatch.setattr(os, "setgroups", lambda groups: None)
    monkeypatch.setattr("api.executors.attempt.run_as.group_of", lambda task: os.getgid())
    monkeypatch.setitem(GIVEN, "gid", os.getgid() or 1)
    return


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def admit(task: Path) -> None:
    run_as(task).admit(str(task / "attempts" / "1"), str(task / "attempts" / "1" / "output"))


def test_command_runs_as_the_user_with_its_tasks_group_and_without_privileges(task: Path) -> None:
    argv, environment = run_as(task).command(["python", "train.py"], {"A": "1"})
    assert argv == [
        "/bin/setpriv",
        "--reuid=7001",
        f"--regid={group_of('train_1')}",
        "--groups=7002,44",
        "--inh-caps=-all",
        "--ambient-caps=-all",
        "--no-new-privs",
        "--",
        "python",
        "train.py",
    ]
    assert environment == {"A": "1"}


def test_ld_variables_are_set_after_the_privileges_are_dropped(task: Path) -> None:
    argv, environment = run_as(task).command(["python"], {"A": "1", "LD_LIBRARY_PATH": "/theirs"})
    assert environment == {"A": "1"}
    assert argv[argv.index("--") + 1 :] == ["/usr/bin/env", "LD_LIBRARY_PATH=/theirs", "python"]


def test_tasks_have_stable_separate_groups() -> None:
    assert (
        group_of("train_20261125_8j1d70w6")
        == group_of("train_20261125_8j1d70w6")
        != group_of("train_20261125_6dmb4wjd")
    )
    assert FIRST_GROUP <= group_of("a") < FIRST_GROUP + GROUPS < 2**31


@pytest.mark.parametrize(
    "changes", [{"uid": 0}, {"gid": 0}, {"uid": None}, {"uid": "x"}, {"gid": 2**32 - 1}, {"uid": 1.5}]
)
def test_root_and_invalid_users_are_rejected(task: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="invalid user, or root"):
        run_as(task, **changes)


@pytest.mark.usefixtures("own_groups")
def test_only_the_trainers_files_are_opened_to_it(task: Path) -> None:
    admit(task)
    attempt = task / "attempts" / "1"
    assert [mode_of(path) for path in (task, task / "attempts", attempt)] == [0o710] * 3
    assert [mode_of(path) for path in (attempt / "config.toml", attempt / "output")] == [0o640, 0o620]
    assert mode_of(task / "output") == 0o2770
    assert mode_of(task / "log") == 0o700
    assert mode_of(task / "secrets.json") == mode_of(attempt / "spec.json") == 0o600


@pytest.mark.usefixtures("own_groups")
def test_link_in_the_path_is_not_followed(task: Path) -> None:
    (task / "attempts" / "1" / "config.toml").unlink()
    (task / "attempts" / "1" / "config.toml").symlink_to(task / "secrets.json")
    with pytest.raises(OSError, match="not a plain file"):
        admit(task)
    assert mode_of(task / "secrets.json") == 0o600


@pytest.mark.usefixtures("own_groups")
def test_files_of_the_services_user_are_shared_once_except_hard_links(task: Path) -> None:
    run_dir = task / "output" / "20261125_10-00-00"
    run_dir.mkdir(mode=0o700)
    (run_dir / "latest").touch(0o600)
    os.link(task / "secrets.json", run_dir / "second-name")
    (run_dir / "link").symlink_to(task / "attempts" / "1" / "spec.json")
    admit(task)
    assert (mode_of(run_dir), mode_of(run_dir / "latest")) == (0o2770, 0o660)
    assert mode_of(task / "secrets.json") == mode_of(task / "attempts" / "1" / "spec.json") == 0o600
    (run_dir / "latest").chmod(0o600)
    admit(task)
    assert mode_of(run_dir / "latest") == 0o600


def fake_setpriv(tmp_path: Path) -> str:
    program = tmp_path / "setpriv"
    program.write_text(SAME_USER)
    program.chmod(0o755)
    return str(program)


def test_closed_files_of_a_trainer_are_opened_at_the_end(task: Path, tmp_path: Path) -> None:
    closed = task / "output" / "closed"
    closed.mkdir()
    (closed / "file").touch(0o000)
    closed.chmod(0o000)
    (task / "output").chmod(0o2770)
    run_as(task, setpriv=fake_setpriv(tmp_path)).restore_access()
    assert mode_of(closed) & 0o770 == 0o770
    assert mode_of(closed / "file") == 0o660


def test_access_is_restored_only_after_it_was_granted(task: Path, tmp_path: Path) -> None:
    (task / "output" / "file").touch(0o400)
    run_as(task, setpriv=fake_setpriv(tmp_path)).restore_access()
    assert mode_of(task / "output" / "file") == 0o400


def test_missing_program_does_not_block_the_end(task: Path) -> None:
    (task / "output").chmod(0o2770)
    run_as(task, setpriv="/nowhere/setpriv").restore_access()


def test_slow_program_is_killed(task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "setpriv"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    (task / "output").chmod(0o2770)
    monkeypatch.setattr("api.executors.attempt.run_as.RESTORE_SECONDS", 0.0)
    run_as(task, setpriv=str(slow)).restore_access()
