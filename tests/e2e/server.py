"""A server process for one test: run.py on a free port, with its log in a file."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import orjson
import psutil

from tests.databases import FEW
from tests.patience import BUSY_SECONDS, pause

ROOT = Path(__file__).resolve().parents[2]
BASE = "/api/v1"
PATIENCE = 60.0

_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")

T = TypeVar("T")


def until(condition: Callable[[], T], timeout: float = PATIENCE, what: str = "") -> T:
    """Return the first true value of `condition`, or fail at the timeout."""
    began = time.monotonic()
    while not (value := condition()):
        is_late = time.monotonic() - began > timeout + BUSY_SECONDS
        assert not is_late, f"timeout of {timeout} s{what and f' waiting for {what}'}; last value: {value!r}"
        pause(began)
    return value


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child process, without the settings of this machine."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # Trainers of tests are stand-ins, or run on the CPU.
    return {**kept, "PYTHONUNBUFFERED": "1", "TRAINER_CHECK": "0", **settings}


def _if_current(response: httpx.Response) -> httpx.Response | None:
    return None if "x-stale" in response.headers or response.status_code == 503 else response


def command(*arguments: str, root: Path = ROOT) -> list[str]:
    return [sys.executable, str(root / "run.py"), *arguments]


class ServerProcess:
    """A server process, started on entering and ended on leaving, with short sweeps of simulated GPUs."""

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self.directory = directory
        self.log_path = directory / "server.log"
        #: Where its code is; a test may replace it by a changed copy before a start.
        self.code = ROOT
        #: The prefix of its command, if another program should start it.
        self.launcher: list[str] = []
        self._arguments = ["--port", "0", *arguments]
        self.settings = {
            "GPU_SOURCE": "simulated",
            "GPU_MONITOR_INTERVAL": "0.2",
            "GPU_STATUS_CHECK_TIMEOUT": "1",
            "STORAGE_ROOT": str(directory / "data"),
            "DATABASE_POOL_SIZE": str(FEW),
            **(settings or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._starts = 0
        self.client = httpx.Client(timeout=30, trust_env=False)

    def __enter__(self) -> "ServerProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def start(self, port: int = 0) -> None:
        if port:
            self._arguments[1] = str(port)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, *command(*self._arguments, root=self.code)],
                cwd=self.directory,
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self._starts += 1
        line = until(self._start_line, what="the server's first line")
        self.port = int(line["message"].rsplit(":", 1)[1])
        self.client.base_url = httpx.URL(f"http://127.0.0.1:{self.port}")

    def _start_line(self) -> dict[str, Any] | None:
        assert self.process is not None
        assert self.process.poll() is None, f"the server exited with {self.process.returncode}:\n{self.log_text()}"
        lines = [line for line in self.log() if line["message"].startswith("listening on ")]
        # A log that continues over a restart has one such line per start.
        return lines[-1] if len(lines) == self._starts else None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace")

    def first_key(self) -> str:
        """Return the administrator's key that its first start has printed."""
        [key] = re.findall(r"^    (dp_\S{56})$", self.log_text(), re.MULTILINE)
        return str(key)

    def show(self, key: str) -> None:
        """Send this key with every later request."""
        self.client.headers["Authorization"] = f"Bearer {key}"

    def log(self) -> list[dict[str, Any]]:
        """Return the complete log lines as dictionaries, without other output such as the first key."""
        whole, _, _ = self.log_path.read_bytes().rpartition(b"\n")
        return [orjson.loads(line) for line in whole.split(b"\n") if line.startswith(b"{")]

    def get(self, path: str, **kwargs: Any) -> Any:
        """Return the data of a response that must be a success, and current.

        On a busy machine, a read that waits too long for the database returns earlier data or status 503.
        """
        address = path if path.startswith("/health") else BASE + path
        response = until(lambda: _if_current(self.client.get(address, **kwargs)), what=f"a current answer of {path}")
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def gpus(self) -> list[dict[str, Any]]:
        gpus: list[dict[str, Any]] = self.get("/gpu/status")["gpus"]
        return gpus

    def gpu(self, index: int) -> dict[str, Any]:
        return next(gpu for gpu in self.gpus() if gpu["gpu_id"] == index)

    def details(self, gpu: int | str) -> dict[str, Any]:
        details: dict[str, Any] = self.get(f"/gpu/{gpu}/details")
        return details

    def events(self, **query: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.get("/gpu/events", params={"limit": "500", **query})["events"]
        return events

    def register(self, **body: Any) -> httpx.Response:
        return self.client.post(f"{BASE}/gpu/tasks", json={"task_type": "training", **body})

    def metrics(self) -> dict[str, float]:
        """Return the samples by name and labels, as they are written."""
        text = self.client.get("/metrics").text
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}

    def threads(self) -> int:
        return psutil.Process(self.pid).num_threads()

    def memory(self) -> int:
        return psutil.Process(self.pid).memory_info().rss

    def files(self) -> int:
        return psutil.Process(self.pid).num_fds()

    def tracebacks(self) -> list[str]:
        """Return the tracebacks in its log, which may also come from other programs."""
        return [line for line in self.log_text().splitlines() if "Traceback" in line]
