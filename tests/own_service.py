"""A program that runs for one test, from entering to leaving its block, and its prerequisites."""

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

import pytest

from tests.patience import pause
from tests.tiers import check_program

#: Directories of servers and administrative programs that are not in a user's PATH.
SBIN = "/usr/sbin:/usr/local/sbin"


class OwnService(ABC):
    """A program that starts on entering and ends on leaving, even if the start failed half-way."""

    @abstractmethod
    def _begin(self) -> None:
        """Create its files, and start it."""

    @abstractmethod
    def _end(self) -> None:
        """End its processes and remove its files; also called if nothing was started."""

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()


def lacks(reason: str) -> NoReturn:
    """Skip the test because the machine lacks something; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def find_program(name: str) -> str:
    """Return the path of a program, or skip the test."""
    check_program(name)
    return shutil.which(name) or shutil.which(name, path=SBIN) or lacks(f"{name} is not installed")


def free_port() -> int:
    """Return a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], problem: Callable[[], str], seconds: float = 30.0) -> None:
    """Wait until the condition is true; fail with the problem after the timeout."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, problem()
        pause(began)


def end_process(process: subprocess.Popen[bytes] | None, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask a process to end, and kill it if it is still running after 20 s."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
