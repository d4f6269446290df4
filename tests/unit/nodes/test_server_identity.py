"""Which servers are known to have ended."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.executors.attempt.processes import read_stat
from api.nodes.server_identity import ServerIdentity, name_root

PLACE = {"node": "node-a", "boot_id": "boot", "pid_namespace": 1}


def identity(pid: int | None = None, **changes: object) -> ServerIdentity:
    stat = read_stat(pid or os.getpid())
    place: dict[str, Any] = {**PLACE, **changes}
    place["root"] = name_root(Path(str(changes.get("root", "/data"))))
    return ServerIdentity(**place, pid=pid or os.getpid(), start=0 if stat is None else stat.start, token="token")


def no_lock() -> bool:
    return False


def lock() -> bool:
    return True


@pytest.fixture
def ended() -> ServerIdentity:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    made = identity(process.pid)
    process.communicate()
    return made


def test_process_that_runs_is_not_gone():
    assert not identity().knows_gone(identity().as_leader(False), no_lock)


def test_process_that_has_ended_is_gone(ended: ServerIdentity):
    assert identity().knows_gone(ended.as_leader(False), no_lock)


def test_process_of_another_pid_namespace_is_not_known(ended: ServerIdentity):
    assert not identity(pid_namespace=2).knows_gone(ended.as_leader(False), no_lock)


def test_lock_of_the_same_storage_tells_of_every_pid_namespace(ended: ServerIdentity):
    assert identity(pid_namespace=2).knows_gone(ended.as_leader(True), lock)
    assert not identity(pid_namespace=2, root="/other").knows_gone(ended.as_leader(True), lock)


def test_lock_says_nothing_of_who_leads_without_it():
    assert not identity().knows_gone(identity().as_leader(False), lock)


def test_process_of_another_machine_is_not_known(ended: ServerIdentity):
    assert not identity(node="node-b").knows_gone(ended.as_leader(True), lock)


def test_process_from_before_a_restart_of_the_machine_is_gone():
    assert identity(boot_id="later").knows_gone(identity().as_leader(True), no_lock)


@pytest.mark.parametrize("other", ["", "x", "a@b@c@d@e@f@g", "@@@@@@@node-a"])
def test_name_that_cannot_be_read_is_not_known(other: str):
    assert not identity(boot_id="").knows_gone(other, no_lock)
