"""The Redis that tests run against: one that is there, and processes of a test's own that it may kill."""

import functools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

#: A server on which tests may publish under names of their own.
SERVER = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")


def _connect(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))


@functools.cache
def _why_unreachable() -> str | None:
    try:
        _connect(SERVER).ping()
    except RedisError as error:
        return f"Redis is not reachable at {SERVER.rpartition('@')[2]}: {error}"
    return None


def _skip(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def require_redis() -> str:
    """The URL of a Redis; skips the test when there is none, which in CI is a failure."""
    reason = _why_unreachable()
    if reason is not None:
        _skip(reason)
    return SERVER


def private_channel() -> str:
    """A channel that nobody else uses."""
    return f"diffusion-pipe:test:{os.getpid()}:{secrets.token_hex(8)}"


class OwnRedis:
    """A Redis process of a test's own, on a socket of its own, until its block ends. Skips the test where the program
    is missing.
    """

    def __init__(self, directory: Path) -> None:
        found = shutil.which("redis-server")
        if found is None:
            _skip("redis-server is not installed")
        self._program = found or ""
        self._directory = directory
        # No port: while it is down another process could take it, or a client connect to itself there. The name of a
        # socket must be short.
        self._socket = Path(tempfile.mkdtemp(prefix="redis-")) / "socket"
        self.url = f"unix://{self._socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "OwnRedis":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._socket.parent)

    def start(self) -> None:
        """Waits until it answers."""
        command = [self._program, "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._directory)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 30
        while True:
            try:
                _connect(self.url).ping()
            except RedisError:
                assert time.monotonic() < end, "its own Redis does not answer"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """As a crash would."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections, and does not answer."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
