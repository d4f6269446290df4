"""Machines of a test: namespaces on one bridge, each with a name, an address, a boot id and a machine id.

The test itself runs in a network namespace, and all processes in the machines end with it.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.own_service import lacks

_TOOLS = ("ip", "unshare", "nsenter", "mount", "setpriv")

#: The first process of a machine: it creates the mounts, and reaps orphans.
_INIT = """
import os, signal, socket, subprocess, sys
name, ready, *mounts = sys.argv[1:]
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
socket.sethostname(name)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
for mount in mounts:
    subprocess.run(["mount", "--bind", *mount.split("=")], check=True)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
open(ready, "w").close()
while True:
    signal.sigwait({signal.SIGCHLD})
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
"""


def require_namespaces() -> None:
    """Skip the test if namespaces cannot be created; in CI that is a failure."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    why = f"{', '.join(missing)}: not installed" if missing else None if os.geteuid() == 0 else "only root can do this"
    if why is None:
        probe = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "true"]
        why = None if subprocess.run(probe, check=False).returncode == 0 else "no namespaces can be made here"
    if why is not None:
        lacks(f"machines of a test's own: {why}")


def in_a_network_of_its_own(arguments: Sequence[str]) -> list[str]:
    """Return the command of a Python program that may create machines; all processes end with it."""
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*alone, sys.executable, *arguments]


def make_bridge() -> None:
    """Create the switch of all machines in this network namespace, with the address 10.77.0.254."""
    for line in ("link set lo up", "link add br0 type bridge", "addr add 10.77.0.254/24 dev br0", "link set br0 up"):
        run("ip", *line.split())


def run(*command: str) -> str:
    """Run a command that must succeed, and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


class Machine:
    """A machine that can be switched off and on, and disconnected. `mounts` are its own directories at common paths."""

    def __init__(self, directory: Path, name: str, address: str, mounts: Mapping[str, Path]) -> None:
        self.directory, self.name, self.address = directory / name, name, address
        self._mounts = dict(mounts)
        self._outer: subprocess.Popen[bytes] | None = None
        self._init = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.directory.mkdir(parents=True)
        (self.directory / "machine-id").write_text(secrets.token_hex(16) + "\n")

    @property
    def is_on(self) -> bool:
        return self._outer is not None

    def boot(self) -> None:
        """Switch it on; no program runs on it yet."""
        ready, boot = self.directory / "ready", self.directory / "boot_id"
        ready.unlink(missing_ok=True)
        boot.write_text(f"{uuid.uuid4()}\n")
        own = {"/etc/machine-id": self.directory / "machine-id", "/proc/sys/kernel/random/boot_id": boot}
        mounts = [f"{path}={place}" for place, path in {**own, **self._mounts}.items() if Path(place).exists()]
        spaces = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command = [*spaces, sys.executable, "-I", "-S", "-c", _INIT, self.name, str(ready), *mounts]
        with (self.directory / "console").open("ab") as console:
            self._outer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        until(ready.exists, 10, f"the start of {self.name}")
        self._init = psutil.Process(self._outer.pid).children()[0].pid
        link = f"link add {self._link} type veth peer name eth0 netns {self._init}"
        for line in (link, f"link set {self._link} master br0", f"link set {self._link} up"):
            run("ip", *line.split())
        for line in (f"addr add {self.address}/24 dev eth0", "link set eth0 up"):
            run("nsenter", "-t", str(self._init), "-n", "ip", *line.split())

    @property
    def _link(self) -> str:
        return f"v-{self.name}"

    def switch_off(self) -> None:
        """Cut its power: all processes end at once, and its address does not answer."""
        if self._outer is None:
            return
        os.kill(self._init, signal.SIGKILL)
        self._outer.wait(10)
        for process in self.processes.values():
            process.wait(10)
        self.processes.clear()
        self._outer = None

    def cut_off(self) -> None:
        """Disconnect its network; its processes continue."""
        self._set_link("down")

    def heal(self) -> None:
        """Reconnect its network."""
        self._set_link("up")

    def _set_link(self, state: str) -> None:
        # A machine that is off has no network.
        if self._link in run("ip", "-brief", "link"):
            run("ip", "link", "set", self._link, state)

    def inside(self, *command: str, user: str | None = None) -> list[str]:
        """Return a command that runs on this machine."""
        who = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={_group(user)}", "--clear-groups"]
        return ["nsenter", "-t", str(self._init), "-n", "-m", "-u", "-p", "--", *who, *command]

    def run(self, *command: str) -> str:
        """Run a command on the machine, and return its output."""
        return run(*self.inside(*command))

    def start(
        self, name: str, *command: str, user: str | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a daemon; its output is beside the machine's other files."""
        with (self.directory / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                self.inside(*command, user=user),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin", "LC_ALL": "C.UTF-8", **(environment or {})},
            )

    def kill(self, name: str) -> None:
        """Kill a daemon as a crash would; processes that it started continue."""
        process = self.processes.pop(name)
        outer = psutil.Process(process.pid)
        # A process that has just started may not be in the machine yet.
        until(lambda: outer.children() or process.poll() is not None, 10, f"{name} on {self.name}")
        for child in outer.children() if process.poll() is None else ():
            child.kill()
        process.wait(10)

    def pids(self) -> list[int]:
        """Return its processes, with the pids of this process's namespace."""
        space = os.stat(f"/proc/{self._init}/ns/pid").st_ino
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.stat(f"/proc/{name}/ns/pid").st_ino == space:
                    found.append(int(name))
            except OSError:
                continue
        return found


def _group(user: str) -> str:
    return {"nobody": "nogroup"}.get(user, user)
