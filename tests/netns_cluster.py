"""A Slurm cluster on the test's own machines, each with the files that `deploy/slurm` makes for it."""

import shutil
import subprocess
from pathlib import Path

from deploy.slurm.configuration import Cluster
from deploy.slurm.files import Service, write_all
from deploy.slurm.machines import read_machines
from tests.netns_machines import Machine, make_bridge, until

#: The resources of each machine, independent of those of this one.
_HARDWARE = "CPUs=16 RealMemory=64000"

#: Settings with which failures are detected within seconds.
_QUICK = {
    "SlurmdParameters": "config_overrides",
    "SchedulerParameters": "bf_interval=1,bf_continue,nohold_on_prolog_fail,requeue_setup_env_fail",
    "MessageTimeout": "5",
}

#: Directories for the files of daemons; each machine has its own.
_OWN_PLACES = ("/etc/slurm", "/var/lib/slurm", "/var/log/slurm")


class MachinesWithSlurm:
    """A head with the controller and slurmrestd, and three training machines, the first with the backup controller.

    `shared` is the directory that all of them see.
    """

    def __init__(self, directory: Path, gpus: int = 2) -> None:
        self.directory, self.shared = directory, directory / "shared"
        self._state = self.shared / "slurm-state"
        self.url = "http://10.77.0.10:6820"
        self.token_file = self.shared / "token"
        self._write(gpus)
        addresses = {"head": "10.77.0.10", "n1": "10.77.0.11", "n2": "10.77.0.12", "n3": "10.77.0.13"}
        self.machines = {name: self._machine(name, address) for name, address in addresses.items()}
        self.head = self.machines["head"]
        self.nodes = [machine for name, machine in self.machines.items() if name != "head"]

    def _write(self, gpus: int) -> None:
        for path in (self.directory / "devices", self.shared, self._state):
            path.mkdir(parents=True)
        shutil.chown(self._state, "slurm", "slurm")
        lines = ["head 10.77.0.10 controller head"]
        for number in (1, 2, 3):
            files = [self.directory / "devices" / f"n{number}-{index}" for index in range(gpus)]
            for file in files:
                # A device that every process may open.
                file.symlink_to("/dev/null")
            role = "backup " if number == 1 else ""
            lines.append(f"n{number} 10.77.0.1{number} {role}{_HARDWARE} files={','.join(map(str, files))}")
        cluster = Cluster(
            read_machines("\n".join(lines)),
            state=str(self._state),
            tracking="linuxproc",
            slurmd_timeout=10,
            slurmctld_timeout=10,
            cred_expire=10,
            kill_wait=10,
        )
        write_all(cluster, Service("root", str(self.shared)), self.directory / "out", _QUICK)

    def _machine(self, name: str, address: str) -> Machine:
        out = self.directory / "out" / name
        mounts = {"/etc/hosts": self.directory / f"{name}.hosts"}
        mounts["/etc/hosts"].write_text("127.0.0.1 localhost\n" + (out / "hosts").read_text())
        for place in _OWN_PLACES:
            own = mounts[place] = self.directory / "own" / name / place.strip("/")
            (own / "slurmd").mkdir(parents=True)
            shutil.chown(own, "slurm", "slurm")
        shutil.copytree(out / "files" / "etc" / "slurm", mounts["/etc/slurm"], dirs_exist_ok=True)
        for key in mounts["/etc/slurm"].glob("*.key"):
            shutil.chown(key, "slurm", "slurm")
        return Machine(self.directory / "machines", name, address, mounts)

    def start(self) -> None:
        """Boot all machines, and wait until every one accepts work."""
        make_bridge()
        for machine in self.machines.values():
            machine.boot()
        self.start_controller(self.head)
        until(self.controllers, 20, "a controller that answers")
        self.start_rest()
        for machine in self.nodes:
            self.start_daemons(machine)
        self.renew_token()
        self.wait_for_nodes()

    def end(self) -> None:
        for machine in self.machines.values():
            machine.switch_off()

    # Daemons

    def start_daemons(self, machine: Machine) -> None:
        """Start what the units of this machine start at a boot, except slurmrestd."""
        if machine.name in ("head", "n1"):
            self.start_controller(machine)
        if machine is not self.head:
            machine.run("mkdir", "-p", "/run/slurm")
            machine.start("slurmd", "slurmd", "-D")

    def start_controller(self, machine: Machine) -> None:
        machine.run("install", "-d", "-o", "slurm", "-g", "slurm", "/run/slurmctld")
        machine.start("slurmctld", "slurmctld", "-D", user="slurm")

    def start_rest(self) -> None:
        # As in the drop-in of deploy/slurm, except for the address: tests connect from elsewhere.
        command = ("slurmrestd", "-a", "rest_auth/jwt", "-s", "slurmctld", "10.77.0.10:6820")
        self.head.start("slurmrestd", *command, user="nobody", environment={"SLURM_JWT": "daemon"})

    def renew_token(self) -> None:
        """Run the script of the timer."""
        script = self.directory / "out" / "head" / "files" / "usr" / "local" / "sbin" / "slurm-token"
        self.head.run("sh", str(script), "root", str(self.token_file))

    def resume(self, name: str) -> bool:
        """Resume a drained machine; return False if it had just returned by itself."""
        command = self.head.inside("scontrol", "update", f"nodename={name}", "state=resume")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 or "Invalid node state" in done.stderr, done.stderr
        return done.returncode == 0

    # Observation

    def wait_for_nodes(self, seconds: float = 60) -> None:
        """Wait until every machine accepts work."""
        until(lambda: len(self.ready_nodes()) == len(self.nodes), seconds, "machines that may be given work")

    def ready_nodes(self) -> list[str]:
        return [name for name, state in self.states().items() if state in ("idle", "mix", "alloc")]

    def states(self) -> dict[str, str]:
        """Return the controller's state of each machine; empty if no controller answers."""
        asked = subprocess.run(
            self.head.inside("sinfo", "-h", "-N", "-p", "gpu", "-o", "%N %t"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return {name: state for name, _, state in (line.partition(" ") for line in asked.stdout.splitlines())}

    def controllers(self) -> list[str]:
        """Return the controllers that answer."""
        asked = subprocess.run(
            self.head.inside("scontrol", "ping"), capture_output=True, text=True, timeout=60, check=False
        )
        return [line for line in asked.stdout.splitlines() if line.endswith("is UP")]

    def log_tails(self) -> str:
        texts = [path for path in self.directory.rglob("*.out") if path.stat().st_size]
        return "\n".join(f"{path.parent.name}/{path.name}: {path.read_text()[-800:]}" for path in texts)
