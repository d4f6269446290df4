"""Parser of the list of machines: one machine per line. Errors name the line."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

#: Names that every resolver and Slurm accept.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", re.ASCII)

_FILE = re.compile(r"/[A-Za-z0-9_./-]{1,255}", re.ASCII)

#: Names with a special meaning to Slurm (the first two) or to every machine (the last).
_TAKEN = ("all", "default", "localhost")

#: Roles of a machine besides running trainings.
ROLES = ("controller", "backup", "head")

#: Fields of the output of `slurmd -C`, which can be pasted into a machine's line.
_HARDWARE = ("CPUs", "Boards", "SocketsPerBoard", "CoresPerSocket", "ThreadsPerCore", "RealMemory")

#: Other fields of that output; the configuration does not use them.
_IGNORED = ("NodeName", "UpTime", "TmpDisk", "Gres")


class BadList(ValueError):
    """The list of machines cannot be used; the message names the line, the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with its address, hardware and roles."""

    name: str
    address: str
    gpus: int = 0
    gpu_type: str = ""
    #: Values of `slurmd -C` by Slurm's names.
    hardware: dict[str, int] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    #: Device files of the GPUs; empty if GPUs are detected.
    gpu_files: tuple[str, ...] = ()
    #: The port of slurmd, if several run on one machine.
    port: int | None = None
    #: The machine's host name, if it differs from the node's name.
    host: str = ""
    #: Slurm features by which a training may select the machine (constraints).
    features: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether the machine has GPUs and so runs trainings."""
        return self.gpus > 0

    def has(self, role: str) -> bool:
        """Return whether the machine has this role."""
        return role in self.roles


def read_machines(text: str) -> tuple[Machine, ...]:
    """Return the machines of a list. Raise BadList if the list is invalid.

    By default the first machine is the controller, and the controller is the head.
    """
    machines: dict[str, Machine] = {}
    addresses: dict[tuple[str, int | None], str] = {}
    for number, machine in _read_lines(text):
        if machine.name in machines:
            raise BadList(f'line {number}: "{machine.name}" is in an earlier line already; use each name once')
        endpoint = (machine.address, machine.port)
        if endpoint in addresses:
            raise BadList(f"line {number}: {machine.address} is the address of {addresses[endpoint]} already")
        machines[machine.name], addresses[endpoint] = machine, machine.name
    return _give_roles(tuple(machines.values()))


def _read_lines(text: str) -> Iterator[tuple[int, Machine]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            try:
                yield number, _read_machine(words)
            except ValueError as error:
                raise BadList(f"line {number}: {error}") from None


def _read_machine(words: Sequence[str]) -> Machine:
    if len(words) < 2:
        raise ValueError(f'"{words[0]}" has no address: NAME ADDRESS gpus=N')
    name, address, *rest = words
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            f'"{name}" is no machine name: use lower-case letters, digits and hyphens, as `hostname -s` prints it'
        )
    if name in _TAKEN:
        raise ValueError(f'"{name}" has a special meaning to Slurm or to every machine: choose another name')
    roles = {word for word in rest if "=" not in word}
    if unknown := roles - set(ROLES):
        raise ValueError(f'"{min(unknown)}" is unknown; known are {", ".join(ROLES)}, gpus=N, type=NAME, features=A,B')
    facts = _read_facts([word for word in rest if "=" in word])
    has_gpus_field = "gpus" in facts
    files = tuple(part for part in facts.pop("files", "").split(",") if part)
    gpus = _number("gpus", facts.pop("gpus", str(len(files))), 0, 1024)
    if files and gpus != len(files):
        raise ValueError(f"gpus={gpus}, but {len(files)} files are named; leave gpus= out")
    kind, port, host = facts.pop("type", ""), facts.pop("port", None), facts.get("host", "")
    _check_names(kind, host, files)
    if has_gpus_field and not gpus and not roles:
        raise ValueError(f"{name} has no GPUs and no role: check `ls /dev/nvidia0` on it, or remove the line")
    hardware = {key: _number(key, value, 1, 2**31) for key, value in facts.items() if key in _HARDWARE}
    if gpus and not {"CPUs", "RealMemory"} <= set(hardware):
        raise ValueError(f"{name} has GPUs and no CPUs= or no RealMemory=: add the output of `slurmd -C` on it")
    return Machine(
        name,
        _read_address(address),
        gpus,
        kind,
        hardware,
        frozenset(roles),
        files,
        None if port is None else _number("port", port, 1, 65535),
        host,
        _read_features(facts.get("features", "")),
    )


def _check_names(kind: str, host: str, files: Sequence[str]) -> None:
    if kind and _TYPE.fullmatch(kind) is None:
        raise ValueError(f'type="{kind}" is no GPU type, such as h100')
    if host and _HOST.fullmatch(host) is None:
        raise ValueError(f'host="{host}" is no host name')
    if invalid := [file for file in files if _FILE.fullmatch(file) is None or ".." in file]:
        raise ValueError(f'files="{invalid[0]}" is no path of a device, such as /dev/nvidia0')
    if len(set(files)) < len(files):
        raise ValueError(f"files={','.join(files)} names a device twice")


def _read_features(text: str) -> tuple[str, ...]:
    features = tuple(part for part in text.split(",") if part)
    if invalid := [part for part in features if _TYPE.fullmatch(part) is None]:
        raise ValueError(
            f'features="{text}": "{invalid[0]}" must consist of letters, digits, dots, hyphens and underscores'
        )
    return features


def _read_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f'"{text}" is no address, such as 192.168.1.11: NAME ADDRESS gpus=N') from None
    if address.version == 6:
        # Slurm rejects IPv6 without EnableIPv6; with it, Slurm listens on the address that its host name resolves to.
        raise ValueError(f'"{text}" is an IPv6 address; use the IPv4 address by which the machines reach each other')
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        raise ValueError(f'"{text}" is no address of a machine; use the address by which the others reach it')
    return str(address)


def _read_facts(words: Sequence[str]) -> dict[str, str]:
    facts: dict[str, str] = {}
    known = ("gpus", "type", "features", "files", "port", "host", *_HARDWARE, *_IGNORED)
    for word in words:
        key, _, value = word.partition("=")
        if key not in known:
            raise ValueError(f'"{key}=" is unknown; known are {", ".join(known[:3])} and the fields of `slurmd -C`')
        if key in facts:
            raise ValueError(f'"{key}=" is given twice')
        if not value:
            raise ValueError(f'"{key}=" has no value')
        facts[key] = value
    return facts


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise ValueError(f'{name}="{text[:40]}" is not a number from {least} to {most}')
    return int(text)


def _give_roles(machines: tuple[Machine, ...]) -> tuple[Machine, ...]:
    if not any(machine.trains for machine in machines):
        raise BadList("no machine has GPUs: add gpus=N to at least one line")
    for role in ROLES:
        named = [machine.name for machine in machines if machine.has(role)]
        if len(named) > 1 and role != "head":
            raise BadList(f"{' and '.join(named)} are both {role}; only one machine can be it")
    first = next((machine for machine in machines if machine.has("controller")), machines[0])
    if len(machines) > 1 and (alone := [each for each in machines if ipaddress.ip_address(each.address).is_loopback]):
        raise BadList(
            f"{alone[0].name} has the address {alone[0].address}, by which every other machine reaches only itself"
        )
    if first.has("backup"):
        raise BadList(f"{first.name} is controller and backup; another machine must be the backup")
    has_head = any(machine.has("head") for machine in machines)
    given = {"controller"} if has_head else {"controller", "head"}
    return tuple(replace(machine, roles=machine.roles | given) if machine is first else machine for machine in machines)
