"""The server in the background, by the Makefile: a separate checkout, with a program that only waits."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.server import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not on PATH")

WAITS = "import time\ntime.sleep(60)\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """Create a checkout that looks installed; processes that it started end with the test."""
    made = make_checkout(tmp_path / "checkout")
    yield made
    make(made, "stop")


def make_checkout(root: Path) -> Path:
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "deploy").mkdir()
    (root / "api" / "dashboard").mkdir(parents=True)
    (root / "requirements").mkdir()
    shutil.copy(ROOT / "Makefile", root)
    shutil.copy(ROOT / "deploy" / "server-process.sh", root / "deploy")
    (root / "run.py").write_text(WAITS)
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for name in (
        "requirements/service.lock",
        "api/dashboard/package.json",
        ".venv/bin/.installed",
        ".venv/bin/.charts",
    ):
        (root / name).touch()
    return root


def make(root: Path, *arguments: str) -> str:
    # The variables of another make, which may have started the tests, would apply here, too.
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")
    }
    done = subprocess.run(
        ["make", "-s", *arguments],
        cwd=root,
        env=own,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


def start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start run.py of another checkout."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.py").write_text(WAITS)
    child = subprocess.Popen([sys.executable, "run.py"], cwd=tmp_path / "other")
    yield child
    child.kill()
    child.wait()


def name_in_file(checkout: Path, text: str) -> None:
    (checkout / "data" / "run").mkdir(parents=True, exist_ok=True)
    (checkout / "data" / "run" / "server.pid").write_text(text)


def test_installed_packages_are_compiled_for_users_without_write_access(checkout: Path) -> None:
    (checkout / "api" / "main.py").write_text("")
    assert make(checkout, "install") == ""
    assert [*(checkout / "api" / "__pycache__").glob("main.*.pyc")] != []


def test_server_is_started_reported_and_ended(checkout: Path) -> None:
    assert "The server runs with pid" in make(checkout, "background")
    pid = int((checkout / "data" / "run" / "server.pid").read_text().split()[0])
    assert f"with pid {pid}" in make(checkout, "status")
    assert "runs already" in make(checkout, "background")
    assert "Stopped." in make(checkout, "stop")
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert "No server runs" in make(checkout, "status")


def test_background_log_is_readable_only_by_its_user(checkout: Path) -> None:
    make(checkout, "background")
    kept = [checkout / "data" / "run", *(checkout / "data" / "run").iterdir()]
    assert [str(path) for path in kept if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    "content", ["{pid}\n", "{pid} {start}\n", "{pid} 1\n", "{pid} {start} 0\n", "0 0\n", "-1 5\n", "", "x y\n"]
)
def test_server_of_another_checkout_is_not_ended(checkout: Path, other: subprocess.Popen[bytes], content: str) -> None:
    name_in_file(checkout, content.format(pid=other.pid, start=start_of(other.pid)))
    assert "No server runs" in make(checkout, "status")
    assert "No server runs" in make(checkout, "stop")
    assert other.poll() is None


def test_process_that_later_got_the_servers_pid_is_not_ended(checkout: Path) -> None:
    child = subprocess.Popen([sys.executable, "run.py"], cwd=checkout)
    try:
        name_in_file(checkout, f"{child.pid} {int(start_of(child.pid)) - 1}\n")
        assert "No server runs" in make(checkout, "stop")
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_backup_and_restore_pass_on_the_file_and_the_replace_option(checkout: Path) -> None:
    (checkout / "run.py").write_text("import sys\nprint(sys.argv[1:])\n")
    assert make(checkout, "backup") == "['backup']\n"
    assert make(checkout, "backup", "FILE=kept", "FORCE=1") == "['backup', 'kept', '--force']\n"
    assert make(checkout, "restore", "FILE=kept", "ARGS=--port 1") == "['restore', 'kept', '--port', '1']\n"
    assert "No backup is named" in make(checkout, "restore")


def test_incomplete_environment_is_rebuilt(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    half = checkout / "python3.99"
    half.write_text(f"#!/bin/sh\nmkdir -p .venv/bin\nln -sf {sys.executable} .venv/bin/python\nexit 1\n")
    half.chmod(0o755)
    assert "apt-get install python3-venv" in make(checkout, "background", f"PYTHON={half}")
    assert not os.path.lexists(python)
