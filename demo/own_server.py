"""Runs a temporary server for the tour, and removes its files and processes."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from demo.client import DemoError

START_SECONDS = 30.0
END_SECONDS = 10.0

#: Seconds within which a supervisor exits after its trainer.
QUIET_SECONDS = 3.0

_RUN = Path(__file__).resolve().parents[1] / "run.py"
_ADDRESS = re.compile(r"listening on (http://[\w.:\[\]]+)")


@contextmanager
def own_server() -> Iterator[str]:
    """Run a server on a free port with simulated GPUs and temporary storage; yield its address."""
    with tempfile.TemporaryDirectory(prefix="demo_", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "server.log"
        command = [sys.executable, str(_RUN), "--host", "127.0.0.1", "--port", "0", "--gpu-source", "simulated"]
        command += ["--storage-root", folder, "--gpu-monitor-interval", "1", "--log-level", "INFO"]
        # These options override settings of the environment.
        command += ["--auth", "off", "--visibility", "team"]
        command += ["--database-url", f"sqlite:///{folder}/database.sqlite", "--min-free-disk-mb", "64"]
        with log.open("wb") as file:
            # Its own session: Ctrl-C must reach only the tour, which needs the server for its clean-up.
            process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, start_new_session=True)  # noqa: S603
        try:
            yield _await_address(process, log)
        finally:
            _end(process)
            _end_trainings(folder)


def _await_address(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = _ADDRESS.search(log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    lines = log.read_text(errors="replace").strip().splitlines() or ["its log is empty"]
    raise DemoError(f"the server did not start: {lines[-1]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    process.kill()  # does nothing if it has already exited
    process.wait()


def _end_trainings(folder: str) -> None:
    """End processes of this folder. Trainings outlive their server."""
    _, left = psutil.wait_procs(_working_in(folder), timeout=QUIET_SECONDS)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(left, timeout=END_SECONDS)
    for process in [*left, *_working_in(folder)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _working_in(folder: str) -> list[psutil.Process]:
    """Return supervisors and trainers of this folder; their command lines contain its path."""
    processes = psutil.process_iter(["cmdline"])
    return [found for found in processes if any(folder in part for part in found.info["cmdline"] or ())]
