"""A PostgreSQL of a test's own, which it may freeze and stop: the one that is there serves other tests too."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil
import psycopg
import pytest

#: Where Debian puts the programs that are on no PATH.
_DEBIAN = "/usr/lib/postgresql"

#: PostgreSQL refuses to run as root.
_USER = "postgres"


def _find(name: str) -> str:
    beside = sorted(Path(_DEBIAN).glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(beside[-1]) if beside else None)
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{name} is not installed")
    return found


class OwnPostgres:
    """Started on entering, ended on leaving, with all that it stored. It listens on a socket file only."""

    def __init__(self) -> None:
        self._initdb, self._program = _find("initdb"), _find("postgres")
        self._user = _USER if os.geteuid() == 0 else None
        self._directory = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{_USER}@/postgres?host={self._directory}"

    def __enter__(self) -> "OwnPostgres":
        # Not a directory of pytest's, into which another user cannot look; the name of a socket must be short.
        self._directory = tempfile.mkdtemp(prefix="postgres-")
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _start(self) -> None:
        if self._user is not None:
            shutil.chown(self._directory, self._user, pwd.getpwnam(self._user).pw_gid)
        make = [self._initdb, "-D", self._data, "-U", _USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C"]
        subprocess.run(make, check=True, **self._as_user())
        self.start()

    @property
    def _data(self) -> str:
        return str(Path(self._directory) / "data")

    def start(self) -> None:
        """Starts it, anew after a stop; waits until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self._directory,
            "fsync": "off",
            "shared_buffers": "16MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen([self._program, "-D", self._data, *options], **self._as_user())
        end = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < end, "its own PostgreSQL does not answer"
                time.sleep(0.05)
            else:
                return

    def _as_user(self) -> dict[str, object]:
        quiet: dict[str, object] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self._directory}
        return quiet if self._user is None else {**quiet, "user": self._user, "group": self._user, "extra_groups": []}

    def stop(self) -> None:
        """Its connections are ended, and nobody listens until `start`."""
        if self._process is None:
            return
        self.thaw()
        # SIGINT: connections are ended, and waited for.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def freeze(self) -> None:
        """It keeps its connections, the kernel takes new ones, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        # The first one first: it makes no more of them then.
        self._process.send_signal(number)
        for child in psutil.Process(self._process.pid).children(recursive=True):
            # One whose client has left ends by itself.
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)

    def _end(self) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
