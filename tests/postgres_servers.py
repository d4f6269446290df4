"""A PostgreSQL for one test, which it may freeze and stop, because the common one serves other tests too."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from tests.own_service import OwnService, end_process, lacks, wait_for

#: Debian's directory for programs that are not in the PATH.
_DEBIAN = "/usr/lib/postgresql"

#: PostgreSQL refuses to run as root.
_USER = "postgres"


def _find(name: str) -> str:
    beside = sorted(Path(_DEBIAN).glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else lacks(f"{name} is not installed"))


class OwnPostgres(OwnService):
    """A PostgreSQL, started on entering and ended on leaving, with all its data. It listens on a socket file only.

    A replica of another one starts as its copy, and follows it.
    """

    def __init__(self, replica_of: "OwnPostgres | None" = None) -> None:
        self._initdb, self._copy, self._program = _find("initdb"), _find("pg_basebackup"), _find("postgres")
        self._primary = replica_of
        self._user = _USER if os.geteuid() == 0 else None
        self._directory = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{_USER}@/postgres?host={self.host}"

    @property
    def host(self) -> str:
        """The directory of the socket on which it listens."""
        return self._directory

    def _begin(self) -> None:
        # Not a directory of pytest's, which another user cannot read; the name of a socket must be short.
        self._directory = tempfile.mkdtemp(prefix="postgres-")
        if self._user is not None:
            shutil.chown(self._directory, self._user, pwd.getpwnam(self._user).pw_gid)
        self._make()
        self.start()

    def _make(self) -> None:
        make = [self._initdb, "-D", self._data, "-U", _USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C"]
        if self._primary is not None:
            # -R configures the copy as a replica.
            make = [self._copy, "-D", self._data, "-d", self._primary.url, "-R", "-X", "stream", "-c", "fast", "-N"]
        subprocess.run(make, check=True, **self._as_user())

    @property
    def _data(self) -> str:
        return str(Path(self._directory) / "data")

    def start(self) -> None:
        """Start it, also after a stop, and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self._directory,
            "fsync": "off",
            "shared_buffers": "16MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen([self._program, "-D", self._data, *options], **self._as_user())
        wait_for(self._answers, lambda: "its own PostgreSQL does not answer")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _as_user(self) -> dict[str, object]:
        quiet: dict[str, object] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self._directory}
        return quiet if self._user is None else {**quiet, "user": self._user, "group": self._user, "extra_groups": []}

    def stop(self, is_immediate: bool = False) -> None:
        """End its connections and stop listening until `start`. Immediate: as `pg_ctl stop -m immediate`."""
        if self._process is None:
            return
        self.thaw()
        # SIGINT ends connections and waits for them. SIGQUIT waits for nothing, and the next start recovers.
        end_process(self._process, signal.SIGQUIT if is_immediate else signal.SIGINT)
        self._process = None

    def kill(self) -> None:
        """Kill all its processes at once, as a power cut does."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def promote(self) -> None:
        """Make a replica the primary."""
        self.execute("SELECT pg_promote(true, 30)")

    def follow(self, primary: "OwnPostgres") -> None:
        """Start again at the same address, as a replica of this primary."""
        self.kill()
        self._primary = primary
        shutil.rmtree(self._data)
        self._make()
        self.start()

    def execute(self, *statements: str) -> None:
        """Execute each statement separately, as an administrator types them."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def freeze(self) -> None:
        """Suspend it: it keeps its connections, the kernel accepts new ones, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True)
        # The first process first, so that it starts no others.
        self._process.send_signal(number)
        if number != signal.SIGKILL:
            children = psutil.Process(self._process.pid).children(recursive=True)
        for child in children:
            # A process whose client has left ends by itself.
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)

    def _end(self) -> None:
        self.stop(is_immediate=True)
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
