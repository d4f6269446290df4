"""Observation of the training processes themselves: which GPUs they use, and how often an attempt was started."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MARKER = b"DPIPE_ATTEMPT_UID="
GPUS = b"CUDA_VISIBLE_DEVICES="
FORKED_ONLY = 0x40  #: PF_FORKNOEXEC in the kernel: a copy of its parent that has not executed a program
LOOK_SECONDS = 0.03

Identity = tuple[int, int]  #: pid, and start in clock ticks since boot


@dataclass(frozen=True, slots=True)
class TrainerProcess:
    """A live process of an attempt. The main process was executed; ranks and children are its copies."""

    pid: int
    start: int
    uid: str
    gpus: tuple[int, ...]
    is_main: bool

    @property
    def identity(self) -> Identity:
        return self.pid, self.start


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _stat(pid: int) -> list[bytes]:
    """Return the fields after the name (state, parent, …), or none if the process has ended."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def runs(identity: Identity) -> bool:
    """Return whether exactly this process still runs; a zombie does not."""
    fields = _stat(identity[0])
    return bool(fields) and int(fields[19]) == identity[1] and fields[0] not in (b"Z", b"X")


class Processes:
    """The processes of the trainings under one STORAGE_ROOT."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root.resolve())
        self._known: dict[Identity, TrainerProcess] = {}
        self._strangers: set[Identity] = set()

    def trainers(self) -> list[TrainerProcess]:
        """Return every live process that carries the marker of an attempt of this storage."""
        found = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            fields = _stat(pid)
            if not fields or fields[0] in (b"Z", b"X"):
                continue
            identity = pid, int(fields[19])
            if identity in self._strangers:
                continue
            process = self._known.get(identity) or self._inspect(identity, fields)
            if process is not None:
                self._known[identity] = process
                found.append(process)
        return found

    def _inspect(self, identity: Identity, fields: list[bytes]) -> TrainerProcess | None:
        pid, start = identity
        command = _read(f"/proc/{pid}/cmdline")
        if self._root not in command:
            # A young process may be about to execute another program.
            if time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK") - start > 500:
                self._strangers.add(identity)
            return None
        values = {name: _value(_read(f"/proc/{pid}/environ"), name) for name in (MARKER, GPUS)}
        if not values[MARKER]:
            return None
        gpus = tuple(int(index) for index in values[GPUS].split(",") if index)
        return TrainerProcess(pid, start, values[MARKER], gpus, not int(fields[6]) & FORKED_ONLY)

    def supervisors(self) -> dict[int, Path]:
        """Return the attempt directory of each supervisor, by pid."""
        found = {}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            command = _read(f"/proc/{pid}/cmdline").split(b"\0")
            if len(command) > 4 and command[3].endswith(b"supervisor.py") and command[4].startswith(self._root):
                found[pid] = Path(os.fsdecode(command[4]))
        return found

    def zombies_of(self, identities: set[Identity]) -> list[Identity]:
        """Return the processes that have ended and were not reaped."""
        return [each for each in identities if (f := _stat(each[0])) and int(f[19]) == each[1] and f[0] == b"Z"]

    @property
    def seen(self) -> set[Identity]:
        return set(self._known)


def _value(environment: bytes, name: bytes) -> str:
    for line in environment.split(b"\0"):
        if line.startswith(name):
            return os.fsdecode(line.removeprefix(name))
    return ""


@dataclass
class Witness:
    """Observes continually in its own thread, and records violations."""

    processes: Processes
    violations: list[str] = field(default_factory=list)
    looks: int = 0
    mains: Mapping[str, set[Identity]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> "Witness":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.observe()

    def observe(self) -> None:
        """Observe every process once."""
        users: dict[int, dict[str, TrainerProcess]] = defaultdict(dict)
        for process in self.processes.trainers():
            for gpu in process.gpus:
                users[gpu][process.uid] = process
            if process.is_main and process.identity not in self.mains[process.uid]:
                self.mains[process.uid].add(process.identity)
                if len(self.mains[process.uid]) > 1:
                    self.violations.append(f"{process.uid} was started twice: {self.mains[process.uid]}")
        for gpu, by_uid in users.items():
            # The observation took some milliseconds: the processes must still be alive together.
            together = [process for process in by_uid.values() if runs(process.identity)]
            if len(together) > 1:
                self.violations.append(f"GPU {gpu} is used by {sorted(process.uid for process in together)} at once")
        self.looks += 1
