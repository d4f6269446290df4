"""slurm.conf, gres.conf and cgroup.conf for a list of machines."""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.slurm.machines import Machine

TEMPLATES = Path(__file__).parent / "templates"

#: Share of memory that is left to the operating system. Slurm does not use a machine that has less memory than
#: slurm.conf states, for example after a kernel update.
_SYSTEM_SHARE = 0.05


#: State directory of a controller without a backup.
STATE = "/var/lib/slurm/slurmctld"


class _Template(string.Template):
    delimiter = "@"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The machines and their common settings. Times are in seconds."""

    machines: tuple[Machine, ...]
    name: str = "diffusion"
    slurm_user: str = "slurm"
    configuration: str = "/etc/slurm"
    state: str = STATE
    #: %n is the node's name, for several nodes on one machine.
    spool: str = "/var/lib/slurm/slurmd"
    run: str = "/run"
    log: str = "/var/log/slurm"
    controller_port: int = 6817
    slurmd_port: int = 6818
    rest_port: int = 6820
    srun_ports: str = "60001-60999"
    #: How GPUs without listed device files are detected: nvml, nvidia (24.11 or newer, without NVML and MIG) or off.
    detect: str = "nvml"
    #: cgroup, or linuxproc in tests that cannot create control groups.
    tracking: str = "cgroup"
    slurmd_timeout: int = 60
    slurmctld_timeout: int = 60
    cred_expire: int = 120
    min_job_age: int = 3600
    kill_wait: int = 360

    @property
    def training(self) -> tuple[Machine, ...]:
        """The machines that have GPUs."""
        return tuple(machine for machine in self.machines if machine.trains)

    @property
    def controllers(self) -> tuple[Machine, ...]:
        """The controller and, if there is one, its backup."""
        backups = [machine for machine in self.machines if machine.has("backup")]
        return (next(machine for machine in self.machines if machine.has("controller")), *backups)

    @property
    def heads(self) -> tuple[Machine, ...]:
        """The machines on which users reach the service."""
        return tuple(machine for machine in self.machines if machine.has("head"))


def render(template: str, **values: object) -> str:
    """Return a file of `templates` with each @{name} replaced."""
    return _Template((TEMPLATES / template).read_text()).substitute(values)


def slurm_conf(cluster: Cluster, changes: Mapping[str, str] | None = None) -> str:
    """Return slurm.conf, which is equal on all machines. `changes` replace settings, or add them before the nodes."""
    has_groups = cluster.tracking == "cgroup"
    facts = {name: getattr(cluster, name) for name in Cluster.__dataclass_fields__}
    text = render(
        "slurm.conf",
        **facts
        | {
            "controllers": "\n".join(
                f"SlurmctldHost={one.host or one.name}({one.address})" for one in cluster.controllers
            ),
            "per_node": "-%n" if "%n" in cluster.spool else "",
            "task_plugins": "task/cgroup,task/affinity" if has_groups else "task/none",
            "unkillable": max(180, cluster.kill_wait // 2),
            "cpus_per_gpu": _share(cluster.training, "CPUs"),
            "memory_per_gpu": _share(cluster.training, "RealMemory"),
            "nodes": "\n".join(map(_node_line, cluster.training)),
            "trains": ",".join(machine.name for machine in cluster.training),
        },
    )
    for name, value in (changes or {}).items():
        text = _change(text, name, value)
    return text


def _change(text: str, name: str, value: str) -> str:
    line = f"{name}={value}"
    changed, count = re.subn(rf"^{re.escape(name)}=.*$", lambda _: line, text, flags=re.MULTILINE)
    return changed if count else text.replace("\nNodeName=", f"\n{line}\nNodeName=", 1)


def _share(machines: Sequence[Machine], fact: str) -> int:
    """Return the least share of a resource per GPU among the machines."""
    return max(1, min(_configured(machine, fact) // machine.gpus for machine in machines))


def _configured(machine: Machine, fact: str) -> int:
    found = machine.hardware[fact]
    return max(1, int(found * (1 - _SYSTEM_SHARE))) if fact == "RealMemory" else found


def _node_line(machine: Machine) -> str:
    fields = [f"NodeName={machine.name}", f"NodeAddr={machine.address}"]
    fields += [f"NodeHostname={machine.host}"] if machine.host else []
    fields += [f"Port={machine.port}"] if machine.port is not None else []
    fields += [f"{name}={_configured(machine, name)}" for name in machine.hardware]
    kind = f"{machine.gpu_type}:" if machine.gpu_type else ""
    fields += [f"Gres=gpu:{kind}{machine.gpus}"]
    fields += [f"Feature={','.join(machine.features)}"] if machine.features else []
    return " ".join([*fields, "State=UNKNOWN"])


def gres_conf(cluster: Cluster) -> str:
    """Return gres.conf, which is equal on all machines and defines how their GPUs are found."""
    lines = ["# Generated by deploy/slurm/generate.py."]
    for machine in cluster.training:
        kind = f" Type={machine.gpu_type}" if machine.gpu_type else ""
        if machine.gpu_files:
            files = ",".join(machine.gpu_files)
            lines.append(f"NodeName={machine.name} AutoDetect=off Name=gpu{kind} File={files}")
        elif cluster.detect == "off":
            last = f"[0-{machine.gpus - 1}]" if machine.gpus > 1 else "0"
            lines.append(f"NodeName={machine.name} AutoDetect=off Name=gpu{kind} File=/dev/nvidia{last}")
        else:
            # Without Type=: a detected GPU has its own type, which contains the one in slurm.conf.
            lines.append(f"NodeName={machine.name} AutoDetect={cluster.detect}")
    return "\n".join(lines) + "\n"


def cgroup_conf() -> str:
    """Return cgroup.conf, which limits jobs to their resources."""
    return render("cgroup.conf")
