"""Starts, awaits and ends servers in separate processes on free loopback ports."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
EIGHT_GPUS = "8x NVIDIA H100 80GB HBM3"
MANY_GPUS = "256x NVIDIA H100 80GB HBM3"

START_SECONDS = 30.0
END_SECONDS = 10.0

#: Seconds: a connection that was quiet for longer may be closed by the server at any moment, so a new one is opened.
KEPT_SECONDS = 2.0

_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
_ADDRESS = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")


class CannotRunError(Exception):
    """A benchmark cannot run here; the message names the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running server."""

    port: int
    process: psutil.Process
    started: float

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def cpu_seconds(self) -> float:
        """Return the processor seconds of all the server's threads."""
        times = self.process.cpu_times()
        return times.user + times.system

    def memory_peak_mb(self) -> float:
        """Return the peak resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def rss_mb(self) -> float:
        """Return the resident memory in MB."""
        return self.process.memory_info().rss / 2**20


@contextmanager
def service(**settings: str) -> Iterator[Running]:
    """Run the service with settings such as GPU_MONITOR_INTERVAL; its log goes to a file."""
    with _serve([str(ROOT / "run.py"), "--port", "0"], settings) as server:
        yield server


def simulated(boards: str, **settings: str) -> dict[str, str]:
    """Return settings for simulated GPUs."""
    return {"GPU_SOURCE": "simulated", "SIMULATED_GPUS": boards, **settings}


@contextmanager
def peer(kind: str, body: bytes, *options: str) -> Iterator[Running]:
    """Run one of the servers of `benchmarks.peers`, which answers with this body."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body"
        file.write_bytes(body)
        with _serve(["-m", "benchmarks.peers", kind, str(file), *options], {"PYTHONPATH": str(ROOT)}) as server:
            yield server


@contextmanager
def _serve(arguments: Sequence[str], settings: Mapping[str, str]) -> Iterator[Running]:
    # No settings of this shell and no .env: the folder is empty.
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "server.log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**environment, "STORAGE_ROOT": folder, **settings},
            stdout=log,
            stderr=log,
        )
        try:
            port = _await_port(process, Path(folder) / "server.log")
            yield Running(port, psutil.Process(process.pid), started)
        finally:
            _end(process)
            _end_trainings(folder)


def _await_port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        found = _ADDRESS.search(log.read_text())
        if found:
            return int(found[1])
        if process.poll() is not None:
            break
        time.sleep(0.005)
    raise CannotRunError(f"a server did not start: {log.read_text()[-300:].strip() or 'its log is empty'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_trainings(folder: str) -> None:
    """End the supervisors and trainers of a folder, since trainings outlive their server."""
    processes = psutil.process_iter(["cmdline"])
    left = [found for found in processes if any(folder in part for part in found.info["cmdline"] or ())]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(left, timeout=END_SECONDS)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


class Client:
    """A persistent connection to a server."""

    def __init__(self, server: Running, timeout: float = 10) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
        self._asked_at = time.monotonic()

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        if time.monotonic() - self._asked_at > KEPT_SECONDS:
            self._connection.close()
        self._connection.request(method, path, body, dict(headers or {}))
        response = self._connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        self._asked_at = time.monotonic()
        return answer

    def close(self) -> None:
        self._connection.close()


def ask(server: Running, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Send a GET that must succeed; retry while the server does not listen yet."""
    until = time.monotonic() + START_SECONDS
    while True:
        client = Client(server)
        try:
            answer = client.ask(path, headers)
            if answer.status == 200:
                return answer
            why = f"HTTP {answer.status}"
        except OSError as error:
            why = str(error)
        finally:
            client.close()
        if time.monotonic() > until:
            raise CannotRunError(f"GET {path} fails: {why}")
        time.sleep(0.005)


def measure_inside(what: str, count: int, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the result of `python -m benchmarks.inside WHAT COUNT`, run in a separate process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.inside", what, str(count)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise CannotRunError(f"benchmarks.inside: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
