"""Another program that runs for a test alone, from entering to leaving its block, and what such tests want first."""

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

from tests.tiers import check_program

#: Where such programs lie that are on no PATH of a user.
SBIN = "/usr/sbin:/usr/local/sbin"


class OwnService(ABC):
    """Begins on entering and ends on leaving, also when it came only half way."""

    @abstractmethod
    def _begin(self) -> None:
        """Makes what it needs, and starts it."""

    @abstractmethod
    def _end(self) -> None:
        """Ends what runs of it, and removes its files; called also where nothing was begun."""

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
    """Skips the test for what the machine lacks, which in CI is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def find_program(name: str) -> str:
    """Where a program is; without it the test is skipped."""
    check_program(name)
    return shutil.which(name) or shutil.which(name, path=SBIN) or lacks(f"{name} is not installed")


def free_port() -> int:
    """A port of loopback on which nobody hears."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(is_so: Callable[[], bool], problem: Callable[[], str], seconds: float = 30.0) -> None:
    """Returns when it is so; fails with the problem, in words, when that takes too long."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, problem()
        time.sleep(0.02)


def end_process(process: subprocess.Popen[bytes] | None, number: signal.Signals = signal.SIGTERM) -> None:
    """Asks a process to end, and kills it when it does not within 20 s."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
