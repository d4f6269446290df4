import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.executors.attempt import processes
from api.executors.attempt.process_marks import MARKER
from api.executors.attempt.processes import Tree, boot_id, is_alive, last_pid, marked_processes, read_stat


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    script = "import time; print('up', flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={MARKER: f"unit-{os.getpid()}"}
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_this_process_has_a_pid_and_a_start() -> None:
    stat = read_stat(os.getpid())
    assert stat is not None
    assert (stat.pid, stat.ppid, stat.is_alive) == (os.getpid(), os.getppid(), True)
    assert is_alive(stat.pid, stat.start)
    assert not is_alive(stat.pid, stat.start + 1)


@pytest.mark.parametrize("name", [b"simple", b"a b", b") R 1 (", b"((()))", b") Z 0", b"\xff\n"])
def test_process_names_do_not_confuse_the_parser(monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    fields = b"S 11 12 13 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3"
    monkeypatch.setattr(processes, "read_file", lambda _: b"77 (" + name + b") " + fields + b"\n")
    stat = read_stat(77)
    assert stat is not None
    assert (stat.ppid, stat.pgid, stat.sid, stat.start, stat.is_alive) == (11, 12, 13, 987654, True)


@pytest.mark.parametrize(("threads", "alive"), [(b"1", False), (b"3", True)])
def test_zombie_is_dead_unless_its_threads_run(monkeypatch: pytest.MonkeyPatch, threads: bytes, alive: bool) -> None:
    fields = b"Z 11 12 13 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 " + threads + b" 0 987654 1 2 3"
    monkeypatch.setattr(processes, "read_file", lambda _: b"77 (name) " + fields)
    stat = read_stat(77)
    assert stat is not None
    assert stat.is_alive is alive


def test_impossible_pid_has_no_process() -> None:
    assert read_stat(2**30) is None


def test_zombie_does_not_run(sleeper: subprocess.Popen[bytes]) -> None:
    stat = read_stat(sleeper.pid)
    assert stat is not None
    stat.send(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(stat.pid, stat.start)


def test_later_process_with_the_same_pid_gets_no_signal(sleeper: subprocess.Popen[bytes]) -> None:
    stat = read_stat(sleeper.pid)
    assert stat is not None
    stat.start -= 1
    stat.send(signal.SIGKILL)
    assert sleeper.poll() is None


def test_signal_is_sent_without_pidfd(sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(processes.os, "pidfd_open", refuse)
    stat = read_stat(sleeper.pid)
    assert stat is not None
    stat.send(signal.SIGKILL)
    assert sleeper.wait(60) == -signal.SIGKILL


def test_marker_identifies_exactly_one_attempt(sleeper: subprocess.Popen[bytes]) -> None:
    uid = f"unit-{os.getpid()}"
    assert marked_processes(uid) == (sleeper.pid,)
    assert marked_processes(uid[:-1]) == ()
    assert marked_processes(uid + "0") == ()


def test_tree_contains_marked_processes(sleeper: subprocess.Popen[bytes]) -> None:
    assert sleeper.pid in [stat.pid for stat in Tree(f"unit-{os.getpid()}").scan()]


def test_last_pid_changes_with_a_new_process(sleeper: subprocess.Popen[bytes]) -> None:
    before = last_pid()
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert last_pid() != before


def test_boot_id_is_the_kernels() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
