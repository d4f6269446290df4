"""Processes that leave their session, lose their parents and clear their environment are all still found."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.executors.attempt.containment import SEEN_PROCESSES
from api.executors.attempt.processes import is_alive, read_stat
from api.executors.executor import Phase
from api.executors.local import LocalExecutor
from tests.e2e.server import until
from tests.e2e.supervisor.attempts import PATIENCE, Attempt, Attempts

#: A trainer that prints `up` only after its supervisor had time to see the daemon; a control group has it anyway.
DAEMON = """
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for handle in range(3):
            os.dup2(null, handle)
        os.chdir("/")
        os.execve(sys.executable, [sys.executable, "-c", "import signal, time, os; signal.signal(15, signal.SIG_IGN); "
                  "open('{where}.new', 'w').write(str(os.getpid())); os.rename('{where}.new', '{where}'); "
                  "time.sleep(600)"], {{}})
    os.wait()
    while not os.path.exists('{where}'):
        time.sleep(0.01)
    time.sleep({patience})
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=[True, False], ids=["cgroup", "list"])
def escaping(request: pytest.FixtureRequest, attempts: Attempts, tmp_path: Path) -> Iterator[Attempt]:
    patience = 0.0 if request.param else 0.5
    script = DAEMON.format(where=tmp_path / "daemon", patience=patience)
    attempt = attempts.prepare(script, executor=LocalExecutor(use_cgroups=request.param), leftover_seconds=0.2)
    attempt.submit()
    attempt.waits_for(b"up")
    if request.param and not attempt.runner()["cgroup"]:
        pytest.skip("no control group may be made here")
    assert request.param == bool(attempt.runner()["cgroup"])
    stat = read_stat(int((tmp_path / "daemon").read_text()))
    assert stat is not None
    yield attempt
    stat.send(signal.SIGKILL)


def _daemon(tmp_path: Path) -> tuple[int, int]:
    stat = read_stat(int((tmp_path / "daemon").read_text()))
    assert stat is not None
    return stat.identity


def test_daemon_is_known_while_no_supervisor_is_alive(escaping: Attempt, tmp_path: Path) -> None:
    daemon = _daemon(tmp_path)
    pid = escaping.trainer_pid()
    escaping.kill_supervisor()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), PATIENCE, "the end of the trainer")
    assert escaping.observe().phase is Phase.ABSENT
    assert list(escaping.executor.survivors(escaping.ref)) == [daemon[0]]


def test_daemon_that_no_supervisor_saw_is_known_by_its_marker(escaping: Attempt, tmp_path: Path) -> None:
    daemon = _daemon(tmp_path)
    pid = escaping.trainer_pid()
    escaping.kill_supervisor()
    (escaping.directory / SEEN_PROCESSES).unlink()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), PATIENCE, "the end of the trainer")
    assert list(escaping.executor.survivors(escaping.ref)) == [daemon[0]]


def test_next_supervisor_ends_the_daemon_before_it_reports_the_end(escaping: Attempt, tmp_path: Path) -> None:
    daemon, group = _daemon(tmp_path), escaping.runner()["cgroup"]
    pid = escaping.trainer_pid()
    escaping.kill_supervisor()
    os.kill(pid, signal.SIGKILL)
    escaping.submit()
    outcome = escaping.outcome()
    assert not is_alive(*daemon)
    assert outcome.survivors_killed == 1
    assert list(escaping.executor.survivors(escaping.ref)) == []
    assert not (escaping.directory / "processes").exists()
    assert group is None or not Path(group).exists()


def test_stop_by_the_next_supervisor_also_ends_the_daemon(escaping: Attempt, tmp_path: Path) -> None:
    daemon = _daemon(tmp_path)
    escaping.kill_supervisor()
    escaping.submit()
    escaping.stop(terminate=0.2)
    escaping.outcome()
    assert not is_alive(*daemon)


def test_supervisor_is_not_in_the_control_group_of_its_trainer(escaping: Attempt) -> None:
    group = escaping.runner()["cgroup"]
    if group is None:
        pytest.skip("without a control group")
    members = Path(f"{group}/cgroup.procs").read_text().split()
    assert str(escaping.trainer_pid()) in members
    assert str(escaping.runner()["supervisor"]["pid"]) not in members


def test_control_group_of_another_name_is_never_killed(attempts: Attempts) -> None:
    attempt = attempts.start("import time; print('up', flush=True); time.sleep(600)")
    attempt.waits_for(b"up")
    group = attempt.runner()["cgroup"]
    if not group:
        pytest.skip("no control group may be made here")
    other = Path(group).with_name(f"other-{os.getpid()}")
    other.mkdir()
    bystander = subprocess.Popen(["/bin/sleep", "600"])
    try:
        (other / "cgroup.procs").write_text(str(bystander.pid))
        attempt.kill_supervisor()
        record = attempt.directory / "runner.json"
        record.write_text(record.read_text().replace(group, str(other)))
        attempt.stop(terminate=0.0)
        attempt.submit()
        attempt.outcome()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
        time.sleep(0.1)
        other.rmdir()
