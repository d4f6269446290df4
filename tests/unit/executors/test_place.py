import fcntl
import json
import os
from pathlib import Path

import pytest

from api.executors.place import Place, is_held_open, is_locked
from api.executors.records import Runner, parse_runner

HERE = Place("here", "boot-1", 4026531836)


def runner(node: str | None = "here", boot_id: str = "boot-1", namespace: int | None = 4026531836) -> Runner:
    found = parse_runner(json.dumps({"node": node, "boot_id": boot_id, "pid_namespace": namespace}).encode())
    assert found is not None
    return found


def test_a_record_that_names_a_place_is_of_it() -> None:
    record = parse_runner(json.dumps(HERE.as_json()).encode())
    assert record is not None
    assert HERE.is_of(record)
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
def test_a_pid_means_something_in_its_own_place_only(record: Runner, is_here: bool, why: str | None) -> None:
    assert HERE.is_of(record) is is_here
    hidden = HERE.why_hidden(record)
    assert (hidden is None) if why is None else why in (hidden or "")


def test_this_place_is_that_of_this_process() -> None:
    here = Place.here("x")
    assert here.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert here.pid_namespace == os.stat("/proc/self/ns/pid").st_ino


def test_a_lock_is_seen_while_somebody_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with path.open("w") as file:
        assert not is_locked(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_locked(path)
    assert not is_locked(path)


def test_a_file_is_held_while_somebody_can_write_it(tmp_path: Path) -> None:
    path = tmp_path / "output"
    with path.open("wb"):
        assert is_held_open(path)
    assert not is_held_open(path)


def test_a_pipe_is_held_while_somebody_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert not is_held_open(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert is_held_open(path)
    os.close(reader)
    assert not is_held_open(path)


def test_where_it_cannot_be_told_it_may_be_held(tmp_path: Path) -> None:
    assert is_held_open(tmp_path)
    assert is_held_open(tmp_path / "gone")
