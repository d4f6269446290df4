"""The files of each machine: configuration, systemd units, entries for /etc/hosts and the install script."""

import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from deploy.slurm.configuration import Cluster, cgroup_conf, gres_conf, render, slurm_conf
from deploy.slurm.machines import Machine

#: The unit of the service.
_API_UNIT = Path(__file__).parents[1] / "diffusion-pipe-api.service"

#: Size of each key; HMAC-SHA-256 requires at least 32 bytes.
KEY_BYTES = 1024


#: Files in the output directory itself. Their presence identifies it.
_KEYS = ("slurm.key", "jwt.key")


class BadPlace(Exception):
    """The directory cannot be used; the message names it and the reason."""


@dataclass(frozen=True, slots=True)
class Service:
    """Settings of the service that are equal on all machines."""

    user: str = "trainer"
    #: STORAGE_ROOT, on the shared directory.
    storage: str = "/srv/diffusion-pipe"
    #: URL of the head for the other machines; empty: its address and default port.
    head_url: str = ""


def write_all(
    cluster: Cluster, service: Service, directory: Path, changes: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write a directory for each machine, with `changes` of slurm.conf. Raise BadPlace if that fails.

    Existing keys are not replaced, so that a machine can be added to a running cluster.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (directory / _KEYS[0]).exists() and any(directory.iterdir()):
            raise BadPlace(
                f"{directory} contains other files, and would become unreadable to other users: choose a new directory"
            )
        directory.chmod(0o700)
        keys = {name: _load_key(directory / name) for name in _KEYS}
        for machine in cluster.machines:
            texts = files_of(cluster, service, machine, changes)
            _write_machine(cluster, service, machine, texts, keys, directory / machine.name)
    except OSError as error:
        raise BadPlace(f"{directory} cannot be written to: {error}") from error


def find_left(directory: Path, machines: Iterable[Machine]) -> list[str]:
    """Return the directories of machines that are no longer in the list."""
    names = {machine.name for machine in machines}
    return sorted(
        each.name for each in directory.iterdir() if each.name not in names and (each / "install.sh").is_file()
    )


def _load_key(file: Path) -> bytes:
    if not file.exists():
        _write(file, secrets.token_bytes(KEY_BYTES), 0o600)
    key = file.read_bytes()
    if len(key) < 32:
        raise BadPlace(f"{file} has {len(key)} bytes and is no key: remove it to generate a new key for all machines")
    return key


def _write_machine(
    cluster: Cluster,
    service: Service,
    machine: Machine,
    texts: Mapping[str, str],
    keys: Mapping[str, bytes],
    directory: Path,
) -> None:
    # Files of former roles of the machine must not be installed again.
    shutil.rmtree(directory / "files", ignore_errors=True)
    for path, content in texts.items():
        _write(directory / "files" / path, content.encode(), 0o644)
    for name in _keys_of(machine):
        _write(directory / "files" / cluster.configuration.lstrip("/") / name, keys[name], 0o600)
    _write(directory / "hosts", hosts(cluster).encode(), 0o644)
    _write(directory / "install.sh", _installer(cluster, service, machine).encode(), 0o755)


def _write(file: Path, content: bytes, mode: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    # Not readable by others, even before its mode is set.
    file.touch(mode=mode & 0o700, exist_ok=False)
    file.write_bytes(content)
    file.chmod(mode)


def files_of(
    cluster: Cluster, service: Service, machine: Machine, changes: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Return the contents of a machine's files, except keys, by path below /."""
    configuration = cluster.configuration.lstrip("/")
    files = {
        f"{configuration}/slurm.conf": slurm_conf(cluster, changes),
        f"{configuration}/gres.conf": gres_conf(cluster),
        f"{configuration}/cgroup.conf": cgroup_conf(),
    }
    units = "etc/systemd/system"
    for name, values in _drop_ins(cluster, service, machine):
        files[f"{units}/{name}.service.d/diffusion-pipe.conf"] = render(f"{name}.conf", **values)
    api = _api_drop_in(cluster, service, machine)
    if api is not None:
        files[f"{units}/diffusion-pipe-api.service"] = _API_UNIT.read_text()
        files[f"{units}/diffusion-pipe-api.service.d/slurm.conf"] = api
    if machine.has("head"):
        files["etc/sysusers.d/slurmrestd.conf"] = 'u slurmrestd - "Slurm REST server"\n'
        files[f"{units}/slurm-token.service"] = render("slurm-token.service", service_user=service.user)
        files[f"{units}/slurm-token.timer"] = render("slurm-token.timer")
        files["usr/local/sbin/slurm-token"] = render("slurm-token")
    return files


def _api_drop_in(cluster: Cluster, service: Service, machine: Machine) -> str | None:
    if machine.has("head"):
        facts = {"storage": service.storage, "address": machine.address, "rest_port": cluster.rest_port}
        facts["source"] = "nvml" if machine.trains else "none"
        return render("head.conf", user=service.user, name=machine.name, **facts)
    if machine.trains:
        url = service.head_url or ",".join(f"http://{head.address}:8080" for head in cluster.heads)
        return render("node.conf", user=service.user, name=machine.name, head_url=url, storage=service.storage)
    return None


def _drop_ins(cluster: Cluster, service: Service, machine: Machine) -> Iterator[tuple[str, dict[str, object]]]:
    if machine in cluster.controllers:
        has_backup = len(cluster.controllers) > 1
        yield "slurmctld", {"mounts": f"[Unit]\nRequiresMountsFor={cluster.state}\n\n" if has_backup else ""}
    if machine.trains:
        yield "slurmd", {"storage": service.storage}
    if machine.has("head"):
        yield "slurmrestd", {"rest_port": cluster.rest_port}


def _keys_of(machine: Machine) -> tuple[str, ...]:
    # The holder of the second key can impersonate any user.
    is_controller = machine.has("controller") or machine.has("backup")
    return _KEYS if is_controller else _KEYS[:1]


def hosts(cluster: Cluster) -> str:
    """Return the lines for /etc/hosts."""
    names = dict.fromkeys(f"{machine.address} {machine.host or machine.name}" for machine in cluster.machines)
    return "\n".join(["# Slurm: begin", *names, "# Slurm: end", ""])


def _installer(cluster: Cluster, service: Service, machine: Machine) -> str:
    daemons = [name for name, _ in _drop_ins(cluster, service, machine)]
    packages = [*daemons, "slurm-client", "slurm-wlm-basic-plugins", "slurm-wlm-jwt-plugin"]
    if machine.trains and cluster.detect == "nvml" and not machine.gpu_files:
        packages.append("slurm-wlm-nvml-plugin")
    units = [f"{name}.service" for name in daemons] + (["slurm-token.timer"] if machine.has("head") else [])
    units += ["diffusion-pipe-api.service"] if machine.has("head") or machine.trains else []
    return render(
        "install.sh",
        name=machine.name,
        host=machine.host or machine.name,
        programs=" ".join([*daemons, "scontrol"]),
        packages=" ".join(packages),
        slurm_user=cluster.slurm_user,
        service_user=service.user,
        state=cluster.state,
        sysusers="systemd-sysusers slurmrestd.conf\n" if machine.has("head") else "",
        units=" ".join(units),
    )
