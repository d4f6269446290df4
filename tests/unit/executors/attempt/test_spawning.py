import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.executors.attempt.orders import Spec
from api.executors.attempt.process_marks import MARKER
from api.executors.attempt.processes import read_stat
from api.executors.attempt.run_as import RunAs
from api.executors.attempt.spawning import find_program, spawn
from api.executors.executor import AttemptRef, Submission
from api.executors.spec import describe


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """Restore the working directory, which spawn changes."""
    before = os.getcwd()
    yield
    os.chdir(before)


REPORT = """
import json, os, signal, sys
json.dump({
    "cwd": os.getcwd(), "session": os.getsid(0), "pid": os.getpid(), "env": dict(os.environ),
    "input": os.readlink("/proc/self/fd/0"), "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "usr1": signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
}, sys.stdout)
sys.stderr.write("\\n")
"""


def spec(tmp_path: Path, **changes: Any) -> Spec:
    ref = AttemptRef("a.1", tmp_path, tmp_path / "log")
    return Spec({**describe(Submission(ref, (sys.executable, "-c", REPORT), tmp_path, {}), "here"), **changes})


def test_trainer_has_its_own_session_directory_and_mark_and_writes_to_its_file(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.touch()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        pid, start = spawn(spec(tmp_path), {"A": "1"}, str(output), os.O_WRONLY)
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    stat = read_stat(pid)
    os.waitpid(pid, 0)
    assert stat is not None
    assert stat.start == start
    printed = json.loads(output.read_text())
    assert (printed["cwd"], printed["session"], printed["pid"]) == (str(tmp_path), pid, pid)
    assert (printed["env"]["A"], printed["env"][MARKER], printed["input"]) == ("1", "a.1", "/dev/null")
    assert "HOME" not in printed["env"]
    assert (printed["blocked"], printed["usr1"]) == (0, True)


def test_missing_working_directory_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the working directory cannot be entered"):
        spawn(spec(tmp_path, cwd=str(tmp_path / "gone")), {}, str(tmp_path / "output"), os.O_WRONLY | os.O_CREAT)


def test_program_is_found_by_its_own_path_variable(tmp_path: Path) -> None:
    for name, mode in (("one", 0o755), ("two", 0o644)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").touch(mode)
    assert find_program("tool", f"/nowhere:{tmp_path}/two:{tmp_path}/one") == f"{tmp_path}/one/tool"
    assert find_program("tool", "/nowhere") == "tool"
    assert find_program("./tool", str(tmp_path / "one")) == "./tool"


#: A fake of setpriv that does not change the user, and prints its umask.
SAME_USER = """#!/bin/sh
umask
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def test_trainer_of_another_user_is_started_by_setpriv_and_shares_files_with_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted = []
    monkeypatch.setattr(RunAs, "admit", lambda self, directory, output: admitted.append((directory, output)))
    setpriv, output = tmp_path / "setpriv", tmp_path / "output"
    output.touch()
    setpriv.write_text(SAME_USER)
    setpriv.chmod(0o755)
    run_as = {"uid": 7001, "gid": 7002, "setpriv": str(setpriv), "output": str(tmp_path / "out")}
    before = os.umask(0o077)
    try:
        pid, _ = spawn(spec(tmp_path, run_as=run_as), {"A": "1"}, str(output), os.O_WRONLY)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    os.waitpid(pid, 0)
    umask, _, printed = output.read_text().partition("\n")
    assert (umask, json.loads(printed)["env"]["A"], json.loads(printed)["pid"]) == ("0007", "1", pid)
    assert admitted == [(str(tmp_path), str(output))]


def test_missing_program_is_reported_before_the_user_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunAs, "admit", lambda self, directory, output: None)
    run_as = {"uid": 7001, "gid": 7002, "setpriv": "/bin/true", "output": str(tmp_path / "out")}
    with pytest.raises(FileNotFoundError):
        spawn(spec(tmp_path, run_as=run_as, argv=["/nowhere/python"]), {}, str(tmp_path / "output"), os.O_WRONLY)
