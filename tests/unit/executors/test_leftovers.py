import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.executors.attempt.containment import SeenProcesses
from api.executors.attempt.process_marks import MARKER
from api.executors.attempt.processes import read_stat
from api.executors.local import list_leftovers


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = "print('up', flush=True); import time; time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, env={MARKER: f"uid-{tmp_path.name}"}
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_marked_process_is_a_leftover(tmp_path: Path, marked: subprocess.Popen[bytes]) -> None:
    assert list_leftovers(f"uid-{tmp_path.name}", tmp_path, None) == [marked.pid]
    assert list_leftovers("another", tmp_path, None) == []


def test_listed_living_process_is_a_leftover(tmp_path: Path) -> None:
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    stat = read_stat(os.getpid())
    assert stat is not None
    seen = SeenProcesses(str(tmp_path))
    seen.note({(stat.pid, stat.start), (ended.pid, stat.start)})
    assert list_leftovers("another", tmp_path, None) == [os.getpid()]


def test_control_group_of_another_attempt_is_ignored(tmp_path: Path) -> None:
    assert list_leftovers("another", tmp_path, "/sys/fs/cgroup") == []
