import fcntl
import json
import os
from pathlib import Path

import pytest

from api.executors.host_context import HostContext, is_held_open, is_locked
from api.executors.records import Runner, parse_runner

HERE = HostContext("here", "boot-1", 4026531836)


def runner(node: str | None = "here", boot_id: str = "boot-1", namespace: int | None = 4026531836) -> Runner:
    found = parse_runner(json.dumps({"node": node, "boot_id": boot_id, "pid_namespace": namespace}).encode())
    assert found is not None
    return found


def test_record_of_this_host_matches() -> None:
    record = parse_runner(json.dumps(HERE.as_json()).encode())
    assert record is not None
    assert HERE.matches(record)
    assert record.node == "here"


@pytest.mark.parametrize(
    ("record", "is_here", "why"),
    [
        (runner(), True, None),
        (runner(namespace=None), True, None),
        (runner(namespace=7), False, "another pid namespace"),
        (runner(boot_id="boot-0"), False, None),
        (runner(node="there", boot_id="boot-9"), False, "it was started on there, and this is here"),
    ],
)
def test_pid_is_valid_only_in_its_own_context(record: Runner, is_here: bool, why: str | None) -> None:
    assert HERE.matches(record) is is_here
    hidden = HERE.why_hidden(record)
    assert (hidden is None) if why is None else why in (hidden or "")


def test_current_context_is_this_process() -> None:
    here = HostContext.current("x")
    assert here.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert here.pid_namespace == os.stat("/proc/self/ns/pid").st_ino


def test_lock_is_detected_while_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with path.open("w") as file:
        assert not is_locked(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_locked(path)
    assert not is_locked(path)


def test_file_is_detected_while_open_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "output"
    with path.open("wb"):
        assert is_held_open(path)
    assert not is_held_open(path)


def test_pipe_is_detected_while_open_for_reading(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert not is_held_open(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert is_held_open(path)
    os.close(reader)
    assert not is_held_open(path)


def test_undeterminable_file_counts_as_held(tmp_path: Path) -> None:
    assert is_held_open(tmp_path)
    assert is_held_open(tmp_path / "gone")
