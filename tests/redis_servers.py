"""The Redis of tests: a running one, and processes of a test that it may kill."""

import functools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.own_service import OwnService, find_program, lacks, wait_for

#: A server on which tests may publish to their own channels.
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


def require_redis() -> str:
    """Return the URL of a Redis; skip the test if there is none, which in CI is a failure."""
    reason = _why_unreachable()
    if reason is not None:
        lacks(reason)
    return SERVER


def private_channel() -> str:
    """Return a channel name that no other test uses."""
    return f"diffusion-pipe:test:{os.getpid()}:{secrets.token_hex(8)}"


class OwnRedis(OwnService):
    """A Redis process on its own socket, until its block ends. Skips the test if the program is missing."""

    def __init__(self, directory: Path) -> None:
        self._program = find_program("redis-server")
        self._directory = directory
        # No port: while it is down another process could take it, or a client connect to itself there. The name of a
        # socket must be short.
        self._socket = Path(tempfile.mkdtemp(prefix="redis-")) / "socket"
        self.url = f"unix://{self._socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def _begin(self) -> None:
        """Do nothing: a test starts it when needed."""

    def _end(self) -> None:
        self.kill()
        shutil.rmtree(self._socket.parent)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [self._program, "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._directory)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers, lambda: "its own Redis does not answer")

    def _answers(self) -> bool:
        try:
            _connect(self.url).ping()
        except RedisError:
            return False
        return True

    def kill(self) -> None:
        """Kill it as a crash would."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """Suspend it: it keeps its connections, and does not answer."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
