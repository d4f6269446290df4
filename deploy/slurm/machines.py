"""The list of machines: one a line, with what is the matter told by the line's number."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

#: A name that every resolver and Slurm itself take.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", re.ASCII)

_FILE = re.compile(r"/[A-Za-z0-9_./-]{1,255}", re.ASCII)

#: Slurm has a meaning of its own for the first two, and each machine for the last.
_TAKEN = ("all", "default", "localhost")

#: What a machine does beside training, by the word that says it.
ROLES = ("controller", "backup", "head")

#: As `slurmd -C` prints them; the line of a machine may hold what it printed as it is.
_HARDWARE = ("CPUs", "Boards", "SocketsPerBoard", "CoresPerSocket", "ThreadsPerCore", "RealMemory")

#: Also printed, and no fact of the configuration.
_PRINTED_TOO = ("NodeName", "UpTime", "TmpDisk", "Gres")


class BadList(ValueError):
    """The list of machines cannot be used: the line, why, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: its name and address, what it has, and what it does."""

    name: str
    address: str
    gpus: int = 0
    gpu_type: str = ""
    #: What `slurmd -C` printed there, by its own words.
    hardware: dict[str, int] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    #: Files that stand for GPUs; none where they are detected.
    gpu_files: tuple[str, ...] = ()
    #: The slurmd's port where several run on one machine.
    port: int | None = None
    #: The name of the machine where that is not the node's.
    host: str = ""
    #: Words by which a training may ask for such a machine (a constraint).
    features: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether it runs trainings: it does where it has GPUs."""
        return self.gpus > 0

    def has(self, role: str) -> bool:
        """Whether it has this one of ROLES."""
        return role in self.roles


def read_machines(text: str) -> tuple[Machine, ...]:
    """The machines of a list. Where no line says otherwise, the first one is the controller, and the controller is the
    head. Raises BadList.
    """
    machines: dict[str, Machine] = {}
    addresses: dict[tuple[str, int | None], str] = {}
    for number, machine in _read_lines(text):
        if machine.name in machines:
            raise BadList(f'line {number}: "{machine.name}" stands in an earlier line already; each name once')
        place = (machine.address, machine.port)
        if place in addresses:
            raise BadList(f"line {number}: {machine.address} is the address of {addresses[place]} already")
        machines[machine.name], addresses[place] = machine, machine.name
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
            f'"{name}" is no name of a machine: small letters, digits and hyphens, as `hostname -s` says it'
        )
    if name in _TAKEN:
        raise ValueError(f'"{name}" means something else to Slurm or to each machine: give it another name')
    roles = {word for word in rest if "=" not in word}
    if unknown := roles - set(ROLES):
        raise ValueError(
            f'"{min(unknown)}" is not known; there are {", ".join(ROLES)}, gpus=N, type=NAME, features=A,B'
        )
    facts = _read_facts([word for word in rest if "=" in word])
    says_gpus = "gpus" in facts
    files = tuple(part for part in facts.pop("files", "").split(",") if part)
    gpus = _number("gpus", facts.pop("gpus", str(len(files))), 0, 1024)
    if files and gpus != len(files):
        raise ValueError(f"gpus={gpus}, but {len(files)} files are named; leave gpus= out")
    kind, port, host = facts.pop("type", ""), facts.pop("port", None), facts.get("host", "")
    _check_names(kind, host, files)
    if says_gpus and not gpus and not roles:
        raise ValueError(
            f"{name} has no GPUs and is nothing else: does `ls /dev/nvidia0` find one there? Or leave it out"
        )
    hardware = {key: _number(key, value, 1, 2**31) for key, value in facts.items() if key in _HARDWARE}
    if gpus and not {"CPUs", "RealMemory"} <= set(hardware):
        raise ValueError(f"{name} has GPUs and no CPUs= or no RealMemory=: add what `slurmd -C` prints there")
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
        raise ValueError(f'type="{kind}" is no name of a kind of GPU; such as h100')
    if host and _HOST.fullmatch(host) is None:
        raise ValueError(f'host="{host}" is no name of a machine')
    if wrong := [file for file in files if _FILE.fullmatch(file) is None or ".." in file]:
        raise ValueError(f'files="{wrong[0]}" is no path of a device, such as /dev/nvidia0')
    if len(set(files)) < len(files):
        raise ValueError(f"files={','.join(files)} names a device twice")


def _read_features(text: str) -> tuple[str, ...]:
    features = tuple(part for part in text.split(",") if part)
    if wrong := [part for part in features if _TYPE.fullmatch(part) is None]:
        raise ValueError(
            f'features="{text}": "{wrong[0]}" is no word of letters, digits, dots, hyphens and underscores'
        )
    return features


def _read_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f'"{text}" is no address, such as 192.168.1.11: NAME ADDRESS gpus=N') from None
    if address.version == 6:
        # Slurm does not know such addresses without EnableIPv6, and with it listens where its host's name leads.
        raise ValueError(f'"{text}" is an IPv6 address; give the IPv4 one by which the machines reach each other')
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        raise ValueError(f'"{text}" is no address of a machine; give the one by which the others reach it')
    return str(address)


def _read_facts(words: Sequence[str]) -> dict[str, str]:
    facts: dict[str, str] = {}
    known = ("gpus", "type", "features", "files", "port", "host", *_HARDWARE, *_PRINTED_TOO)
    for word in words:
        key, _, value = word.partition("=")
        if key not in known:
            raise ValueError(f'"{key}=" is not known; there are {", ".join(known[:3])} and what `slurmd -C` prints')
        if key in facts:
            raise ValueError(f'"{key}=" stands there twice')
        if not value:
            raise ValueError(f'"{key}=" has no value')
        facts[key] = value
    return facts


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise ValueError(f'{name}="{text[:40]}" is no number from {least} to {most}')
    return int(text)


def _give_roles(machines: tuple[Machine, ...]) -> tuple[Machine, ...]:
    if not any(machine.trains for machine in machines):
        raise BadList("no machine has GPUs: give at least one line gpus=N")
    for role in ROLES:
        named = [machine.name for machine in machines if machine.has(role)]
        if len(named) > 1 and role != "head":
            raise BadList(f"{' and '.join(named)} are each the {role}; one can be it")
    first = next((machine for machine in machines if machine.has("controller")), machines[0])
    if len(machines) > 1 and (alone := [each for each in machines if ipaddress.ip_address(each.address).is_loopback]):
        raise BadList(f"{alone[0].name} has the address {alone[0].address}, which leads every other machine to itself")
    if first.has("backup"):
        raise BadList(f"{first.name} is controller and backup; another machine has to be the backup")
    has_head = any(machine.has("head") for machine in machines)
    given = {"controller"} if has_head else {"controller", "head"}
    return tuple(replace(machine, roles=machine.roles | given) if machine is first else machine for machine in machines)
