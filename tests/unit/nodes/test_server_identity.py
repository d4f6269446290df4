"""Proofs that a server process has ended."""

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


def test_running_process_has_not_ended():
    assert not identity().knows_gone(identity().as_leader(False), no_lock)


def test_ended_process_is_known(ended: ServerIdentity):
    assert identity().knows_gone(ended.as_leader(False), no_lock)


def test_process_of_another_pid_namespace_is_unknown(ended: ServerIdentity):
    assert not identity(pid_namespace=2).knows_gone(ended.as_leader(False), no_lock)


def test_free_lock_proves_the_end_in_any_pid_namespace(ended: ServerIdentity):
    assert identity(pid_namespace=2).knows_gone(ended.as_leader(True), lock)
    assert not identity(pid_namespace=2, root="/other").knows_gone(ended.as_leader(True), lock)


def test_lock_proves_nothing_for_a_leader_without_it():
    assert not identity().knows_gone(identity().as_leader(False), lock)


def test_process_of_another_machine_is_unknown(ended: ServerIdentity):
    assert not identity(node="node-b").knows_gone(ended.as_leader(True), lock)


def test_process_from_before_a_reboot_has_ended():
    assert identity(boot_id="later").knows_gone(identity().as_leader(True), no_lock)


@pytest.mark.parametrize("other", ["", "x", "a@b@c@d@e@f@g", "@@@@@@@node-a"])
def test_malformed_name_is_unknown(other: str):
    assert not identity(boot_id="").knows_gone(other, no_lock)
