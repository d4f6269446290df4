import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from api.gpus.sources import host
from api.gpus.sources.host import ProcessDescription

ABSENT = 2**31 - 1


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    arguments = [sys.executable, "-c", "input()", "--hf_token=s3cret"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def test_process_is_described(child: subprocess.Popen[bytes]):
    known = host.describe_process(child.pid)
    assert known.visible
    assert known.user == psutil.Process().username()
    assert os.getpid() in known.ancestors
    assert known.started_at is not None
    assert known.started_at.tzinfo is UTC
    assert known.started_at <= datetime.now(UTC)


def test_secret_in_a_command_line_is_masked():
    with subprocess.Popen([sys.executable, "-c", "input()", "--hf_token=s3cret"], stdin=subprocess.PIPE) as process:
        while "input()" not in (host.describe_process(process.pid).command or ""):
            assert process.poll() is None
        command = host.describe_process(process.pid).command or ""
        process.kill()
    assert "s3cret" not in command
    assert "--hf_token=***" in command


def test_invisible_process_has_no_known_fields():
    assert host.describe_process(ABSENT) == ProcessDescription()


def test_running_process_has_an_identity():
    identity = host.process_identity(os.getpid())
    assert identity is not None
    assert host.is_running(identity)


@pytest.mark.parametrize("pid", [ABSENT, 2**40, 10**30])
def test_missing_process_has_no_identity(pid: int):
    assert host.process_identity(pid) is None


def test_later_process_with_the_same_pid_is_another_one():
    identity = host.process_identity(os.getpid())
    assert identity is not None
    assert not host.is_running(replace(identity, start=identity.start - 1))


def test_ended_process_does_not_run(child: subprocess.Popen[bytes]):
    identity = host.process_identity(child.pid)
    assert identity is not None
    child.kill()
    child.wait()
    assert not host.is_running(identity)


def test_zombie_does_not_run(child: subprocess.Popen[bytes]):
    identity = host.process_identity(child.pid)
    assert identity is not None
    child.kill()
    # Wait until it has ended, without reaping it.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not host.is_running(identity)


def test_container_is_read_from_the_control_group(monkeypatch: pytest.MonkeyPatch):
    id_ = "ab" * 32
    monkeypatch.setattr(Path, "read_text", lambda path, **options: f"0::/system.slice/docker-{id_}.scope\n")
    assert host.container_of(1) == id_


def test_process_outside_a_container_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "read_text", lambda path, **options: "0::/user.slice/session-1.scope\n")
    assert host.container_of(1) is None


def test_missing_process_has_no_container():
    assert host.container_of(ABSENT) is None


def test_memory_of_the_host_adds_up():
    total, used, free = host.host_memory_mb()
    assert total == pytest.approx(used + free, abs=2)
    assert min(total, used, free) > 0


def test_disk_of_a_missing_directory_is_its_parents(tmp_path: Path):
    there, missing = host.read_system([tmp_path, tmp_path / "a" / "b"]).disks
    assert missing.path == str(tmp_path / "a" / "b")
    assert missing.total == there.total


def test_unreadable_disk_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def fail(path: str) -> None:
        raise OSError("stale handle")

    monkeypatch.setattr("psutil.disk_usage", fail)
    (disk,) = host.read_system([tmp_path]).disks
    assert (disk.path, disk.total, disk.percent) == (str(tmp_path), None, None)


def test_own_addresses_include_the_loopback():
    assert "127.0.0.1" in host.own_addresses()
    assert "" not in host.own_addresses()


class Times(NamedTuple):
    user: float = 0.0
    idle: float = 0.0
    iowait: float = 0.0
    guest: float = 0.0


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> list[Times]:
    """The kernel's counters: the last ones are current."""
    counted = [Times()]
    monkeypatch.setattr("psutil.cpu_times", lambda: counted[-1])
    return counted


def test_cpu_use_covers_the_time_between_two_measurements(cpu: list[Times]):
    meter = host.CPUMeter()
    assert meter.percent is None
    cpu.append(Times(user=3.0, idle=5.0, iowait=2.0, guest=1.0))
    meter.measure()
    assert meter.percent == 30.0
    cpu.append(Times(user=13.0, idle=5.0, iowait=2.0, guest=1.0))
    meter.measure()
    assert meter.percent == 100.0


def test_measurement_within_one_tick_of_the_kernel_changes_nothing(cpu: list[Times]):
    meter = host.CPUMeter()
    cpu.append(Times(user=1.0, idle=1.0))
    meter.measure()
    meter.measure()
    assert meter.percent == 50.0
