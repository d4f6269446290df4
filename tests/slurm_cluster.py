"""A Slurm cluster for one test on this machine: a controller, slurmrestd and several nodes with empty files for GPUs.

All files are in a private directory, and it listens on private ports of loopback. It starts within a second.
"""

import base64
import contextlib
import getpass
import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import httpx
import psutil

from tests.own_service import SBIN, OwnService, find_program, free_port, wait_for

_PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmrestd", "scontrol", "squeue", "scancel")
_PATH = f"{os.environ.get('PATH', '')}:{SBIN}"

#: Settings with which a failure is detected within seconds; a test may override them.
_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        "AuthAltTypes": "auth/jwt",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0,bf_interval=1",
        "SlurmdParameters": "config_overrides",
        "GresTypes": "gpu",
        "MpiDefault": "none",
        "ReturnToService": "2",
        "SlurmdTimeout": "10",
        "KillWait": "5",
        "MinJobAge": "3600",
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
    }
)


def require_slurm() -> Mapping[str, str]:
    """Return the paths of Slurm's programs; skip the test if one is missing, which in CI is a failure."""
    return {name: find_program(name) for name in _PROGRAMS}


class SlurmCluster(OwnService):
    """A cluster that runs from entering to leaving its block. Every daemon may be killed and restarted meanwhile.

    `prefixes` are put before the command of a daemon (`controller`, `rest` or a node's name), as `ip netns exec …` is;
    `addresses` are then its addresses. `partitions` are lines of slurm.conf without their first word.
    """

    def __init__(
        self,
        directory: Path,
        nodes: Sequence[str] = ("n1", "n2", "n3"),
        gpus: int = 2,
        *,
        settings: Mapping[str, str] = MappingProxyType({}),
        partitions: Sequence[str] = ("gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP",),
        features: Mapping[str, str] = MappingProxyType({}),
        prefixes: Mapping[str, Sequence[str]] = MappingProxyType({}),
        addresses: Mapping[str, str] = MappingProxyType({}),
        cred_expire: int = 10,
    ) -> None:
        self._programs = require_slurm()
        self.directory = directory
        self.nodes = tuple(nodes)
        self._gpus = gpus
        self._settings = {**_SETTINGS, **settings}
        self._partitions = partitions
        self._features = features
        self._prefixes = prefixes
        self._addresses = addresses
        self._ports = {name: free_port() for name in ("controller", "rest", *nodes)}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.token_file = directory / "token"
        self._cred_expire = cred_expire
        # The names of sockets must be short.
        self._sockets = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.socket, self.munge = self._sockets / "rest", self._sockets
        self.environment = {"PATH": _PATH, "SLURM_CONF": str(directory / "slurm.conf"), "LC_ALL": "C.UTF-8"}

    @property
    def url(self) -> str:
        """The address of slurmrestd."""
        return f"http://{self._address('rest')}:{self._ports['rest']}"

    @property
    def unix_url(self) -> str:
        """The address of slurmrestd's UNIX socket."""
        return f"unix://{self.socket}"

    def _begin(self) -> None:
        self._write_files()
        self._start_munge()
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        self.start_rest()
        self.wait_for_nodes()

    # Daemons

    def _start_munge(self) -> None:
        # Slurm's own auth/slurm would not need it, but has one socket for the whole machine.
        own = [f"--{what}={self.munge / what}" for what in ("socket", "key-file", "pid-file", "log-file", "seed-file")]
        self._start("munge", "munged", "--foreground", "--force", "--num-threads=4", *own)
        self._wait((self.munge / "socket").exists, "munged does not start")

    def start_controller(self) -> None:
        """Start the controller, and wait until it answers."""
        self._start("controller", "slurmctld", "-D")
        self._wait(self._is_answering, "slurmctld does not answer")

    def start_node(self, node: str) -> None:
        """Start a node's daemon, which finds its previous jobs again."""
        self._start(node, "slurmd", "-D", "-N", node)

    def start_rest(self) -> None:
        """Start slurmrestd, and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        where = f"{self._address('rest')}:{self._ports['rest']}"
        command = ["slurmrestd", "-a", "rest_auth/jwt", "-s", "slurmctld", where, f"unix:{self.socket}"]
        self._start("rest", *command)
        self._wait(self._is_resting, "slurmrestd does not answer")

    def kill(self, name: str) -> None:
        """Kill a daemon as a crash would: `controller`, `rest` or a node's name. The jobs of a node continue."""
        daemon = self._daemons.pop(name)
        daemon.kill()
        daemon.wait(10)

    def kill_machine(self, node: str) -> None:
        """Kill a node's daemon and all of its jobs at once, as a power cut would."""
        self.kill(node)
        # All at once: a survivor would report the end of the others to the controller.
        pids = _with_relatives(self.pids(f"SLURMD_NODENAME={node}"))
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                _kill(pid, number)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a daemon: SIGSTOP makes it hang."""
        self._daemons[name].send_signal(number)

    def _start(self, name: str, program: str, *arguments: str) -> None:
        path = self._programs[program]
        environment = dict(self.environment)
        if program == "slurmrestd":
            # All users are one here: slurmrestd would refuse to run as the controller's user.
            environment |= {"SLURM_JWT": "daemon", "SLURMRESTD_SECURITY": "disable_user_check"}
        with (self.directory / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [*self._prefixes.get(name, ()), path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self.directory,
                start_new_session=True,
            )

    # Observation

    def command(self, program: str, *arguments: str) -> str:
        """Return the output of one of Slurm's own commands."""
        found = shutil.which(program, path=_PATH) or program
        done = subprocess.run(
            [*self._prefixes.get("controller", ()), found, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def token(self, user: str | None = None, seconds: float = 86_400) -> str:
        """Return a token for this user, by default the user of the test."""
        now = int(time.time())
        content = {"exp": now + int(seconds), "iat": now, "sun": user or getpass.getuser()}
        parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, content)]
        signed = hmac.new((self.directory / "jwt.key").read_bytes(), ".".join(parts).encode(), hashlib.sha256)
        return ".".join([*parts, _base64(signed.digest())])

    def wait_for_nodes(self) -> None:
        """Wait until every node accepts work."""

        def are_idle() -> bool:
            states = self.command("sinfo", "-h", "-N", "-o", "%N %t").split("\n")
            return len({line for line in states if line.endswith((" idle", " mix", " alloc"))}) >= len(self.nodes)

        self._wait(are_idle, "the nodes are not idle")

    def pids(self, entry: str | None = None) -> list[int]:
        """Return the processes of this cluster's jobs, or of one node's with its environment entry."""
        own = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        daemons = {daemon.pid for daemon in self._daemons.values()}
        found = []
        for name in os.listdir("/proc"):
            try:
                environment = Path("/proc", name, "environ").read_bytes().split(b"\0") if name.isdigit() else []
            except OSError:
                continue
            is_meant = entry is None or entry.encode() in environment
            if own in environment and is_meant and int(name) not in {*daemons, os.getpid()}:
                found.append(int(name))
        return found

    # Files

    def _write_files(self) -> None:
        directory = self.directory
        for name in ("state", "spool", "devices"):
            (directory / name).mkdir(parents=True)
        for key in (directory / "jwt.key", self.munge / "key-file"):
            key.write_bytes(secrets.token_hex(64).encode())
            key.chmod(0o600)
        for node in self.nodes:
            (directory / "spool" / node).mkdir()
            for index in range(self._gpus):
                # Slurm requires a device: every process may open this one, whatever its limits.
                (directory / "devices" / f"{node}-{index}").symlink_to("/dev/null")
        (directory / "slurm.conf").write_text("\n".join(self._configuration()) + "\n")
        gpus = [f"NodeName={node} Name=gpu File={directory}/devices/{node}-[0-{self._gpus - 1}]" for node in self.nodes]
        (directory / "gres.conf").write_text("\n".join(gpus if self._gpus else ()) + "\n")
        self.token_file.write_text(self.token())
        self.token_file.chmod(0o600)

    def _configuration(self) -> list[str]:
        host, user, directory = socket.gethostname(), getpass.getuser(), self.directory
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{host}({self._address('controller')})",
            "SlurmctldPort": str(self._ports["controller"]),
            "SlurmUser": user,
            "SlurmdUser": user,
            "AuthInfo": f"socket={self.munge}/socket,cred_expire={self._cred_expire}",
            "AuthAltParameters": f"jwt_key={directory}/jwt.key",
            "StateSaveLocation": f"{directory}/state",
            "SlurmdSpoolDir": f"{directory}/spool/%n",
            "SlurmctldPidFile": f"{directory}/controller.pid",
            "SlurmdPidFile": f"{directory}/%n.pid",
            "SlurmctldLogFile": f"{directory}/controller.log",
            "SlurmdLogFile": f"{directory}/%n.log",
            **self._settings,
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        for node in self.nodes:
            feature = f" Feature={self._features[node]}" if node in self._features else ""
            gres = f" Gres=gpu:{self._gpus}" if self._gpus else ""
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr={self._address(node)} Port={self._ports[node]} "
                f"CPUs=64 RealMemory=256000{gres}{feature}"
            )
        return lines + [f"PartitionName={partition}" for partition in self._partitions]

    def _address(self, name: str) -> str:
        return self._addresses.get(name, "127.0.0.1")

    # Waiting and ending

    def _is_answering(self) -> bool:
        try:
            return "UP" in self.command("scontrol", "ping")
        except (AssertionError, subprocess.TimeoutExpired):
            return False

    def _is_resting(self) -> bool:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.socket)), timeout=5) as client:
                return client.get("http://slurm/openapi/v3", headers={"X-SLURM-USER-TOKEN": self.token()}).is_success
        except httpx.HTTPError:
            return False

    def _wait(self, condition: Callable[[], bool], problem: str) -> None:
        wait_for(condition, lambda: f"{problem}: {self._log_tails()}")

    def _log_tails(self) -> str:
        texts = {path.name: path.read_text(errors="replace")[-1500:] for path in self.directory.glob("*.out")}
        return "\n".join(f"{name}: {text}" for name, text in texts.items())

    def _end(self) -> None:
        for daemon in reversed(self._daemons.values()):
            daemon.kill()
            daemon.wait(10)
        self._daemons.clear()
        # Jobs outlive their daemons; each has this cluster's name in its environment.
        end = time.monotonic() + 10
        while pids := self.pids():
            for pid in _with_relatives(pids):
                _kill(pid)
            assert time.monotonic() < end, f"{pids} cannot be ended"
        shutil.rmtree(self._sockets, ignore_errors=True)


def _with_relatives(pids: Iterable[int]) -> list[int]:
    """Return these processes, Slurm's own parents of them, and all descendants; a trainer's environment is its own."""
    found = set(pids)
    for pid in list(found):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            parent = process.parent()
            found.update([parent.pid] if parent is not None and parent.name().startswith("slurmstepd") else ())
            found.update(child.pid for child in process.children(recursive=True))
    return sorted(found)


def _kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
