"""Read the machine around the GPUs: its processes, memory and disks, by psutil and from /proc."""

import os
import re
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from api.domain.machines.reading import GPUProcess, ProcessKind
from api.domain.machines.system import DiskUsage, HostMemory, SystemInfo
from api.domain.tasks.task import ProcessIdentity
from api.util.text.formatting import shorten_command

_MIB = 1024 * 1024
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")

# The inode of the first PID namespace (PROC_PID_INIT_INO in the kernel's include/linux/proc_ns.h).
_FIRST_PID_NAMESPACE = 4_026_531_836

# psutil's errors, and its errors for numbers that are not pids: negative, or beyond C's int.
_NO_PROCESS = (psutil.Error, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class ProcessDescription:
    """The host's data about a process; every field is None if the process is not visible."""

    user: str | None = None
    command: str | None = None
    started_at: datetime | None = None
    container_id: str | None = None
    host_memory_mb: int | None = None
    ancestors: frozenset[int] = frozenset()
    visible: bool = False


def describe_process(pid: int) -> ProcessDescription:
    """Return user, command (secrets masked, 256 characters), start, container and memory (MiB) of a process."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return ProcessDescription(
                user=_username(process),
                command=shorten_command(_command_line(process)),
                started_at=datetime.fromtimestamp(process.create_time(), UTC),
                container_id=container_of(pid),
                host_memory_mb=process.memory_info().rss // _MIB,
                ancestors=frozenset(parent.pid for parent in process.parents()),
                visible=True,
            )
    except _NO_PROCESS:
        return ProcessDescription()


def describe_gpu_process(
    pid: int, kind: ProcessKind, memory_mb: int | None, gpu_instance_id: int | None = None
) -> GPUProcess:
    """Describe a process on a GPU by the host's data, with a reason for each missing value."""
    known = describe_process(pid)
    unavailable: dict[str, str] = {}
    if memory_mb is None:
        unavailable["memory"] = "unsupported"
    if not known.visible:
        unavailable.update(dict.fromkeys(("user", "command", "started_at", "host_memory"), "process_not_visible"))
    return GPUProcess(
        pid=pid,
        kind=kind,
        memory_mb=memory_mb,
        user=known.user,
        command=known.command,
        started_at=known.started_at,
        container_id=known.container_id,
        host_memory_mb=known.host_memory_mb,
        gpu_instance_id=gpu_instance_id,
        ancestors=known.ancestors,
        unavailable=unavailable,
    )


def _username(process: psutil.Process) -> str | None:
    try:
        return process.username()
    except (psutil.Error, KeyError):
        return None


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or [process.name()]
    except psutil.AccessDenied:
        return [process.name()]


def container_of(pid: int) -> str | None:
    """Return the id of the container that a process runs in, from its control group, or None."""
    try:
        found = _CONTAINER_ID.search(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found.group() if found else None


def in_container() -> bool:
    """Return whether this service itself runs in a container."""
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or container_of(os.getpid()) is not None


def has_own_pid_namespace() -> bool:
    """Return whether NVML's pids (the host's) differ from those that this service sees."""
    return pid_namespace() not in (0, _FIRST_PID_NAMESPACE)


def pid_namespace() -> int:
    """Return the id of this service's pid namespace, which differs between containers; 0 if unknown."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def process_identity(pid: int) -> ProcessIdentity | None:
    """Return the running process with this pid; None if there is none, or only a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessIdentity(pid=pid, start=_start_of(process))
    except _NO_PROCESS:
        return None


def _start_of(process: psutil.Process) -> float:
    if sys.platform != "linux":
        return process.create_time()
    try:
        # Field 22 of proc(5): clock ticks since boot, which do not change when the clock is set.
        fields = (
            Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        return float(fields[19])
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(process.pid) from None


def find_listener(port: int) -> ProcessIdentity | None:
    """Return the process that listens on a TCP port of this machine; None if it is not visible."""
    try:
        found = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    pids = (each.pid for each in found if each.status == psutil.CONN_LISTEN and each.laddr[1:2] == (port,))
    return next((known for pid in pids if pid is not None and (known := process_identity(pid)) is not None), None)


def is_running(process: ProcessIdentity) -> bool:
    """Return whether exactly this process still runs; a later one with the same pid does not count."""
    try:
        return process_identity(process.pid) == process
    except OSError:
        # No file can be opened at the moment, which does not prove an end.
        return True


def own_identity(node: str) -> str:
    """Return a text that identifies this process to other servers on the same database."""
    own = process_identity(os.getpid())
    return f"{os.getpid()}@{0.0 if own is None else own.start}@{node}"


def is_alive(identity: str, node: str) -> bool:
    """Return whether the process that `own_identity` named still runs; always True for another machine's."""
    pid, start, where = identity.split("@", 2)
    return where != node or is_running(ProcessIdentity(int(pid), float(start)))


def host_memory_mb() -> tuple[int, int, int]:
    """Return the total, used and free memory of the host in MiB; free is available without swapping."""
    memory = psutil.virtual_memory()
    return memory.total // _MIB, (memory.total - memory.available) // _MIB, memory.available // _MIB


def own_addresses() -> frozenset[str]:
    """Return the names and addresses of this machine."""
    names = {socket.gethostname(), socket.getfqdn()}
    for interface in psutil.net_if_addrs().values():
        names.update(
            address.address.partition("%")[0] for address in interface if address.family.name.startswith("AF_INET")
        )
    return frozenset(name.lower() for name in names if name)


class CPUMeter:
    """Measures CPU use between two calls. Each owner needs its own, so that measurements do not interfere."""

    def __init__(self) -> None:
        self._last = psutil.cpu_times()
        self.percent: float | None = None  #: None until it has measured

    def measure(self) -> None:
        """Set `percent` to the use since the last call; a span that is too short is added to the next one."""
        now = psutil.cpu_times()
        total = _cpu_seconds(now) - _cpu_seconds(self._last)
        if total <= 0:
            return
        idle = _idle_seconds(now) - _idle_seconds(self._last)
        self.percent = round(min(100.0, max(0.0, 100 * (total - idle) / total)), 1)
        self._last = now


def _cpu_seconds(times: Any) -> float:
    # The kernel already counts guests in user and nice.
    return float(sum(times)) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)


def _idle_seconds(times: Any) -> float:
    return float(times.idle) + getattr(times, "iowait", 0.0)


def read_system(disk_paths: Sequence[Path], cpu_percent: float | None = None) -> SystemInfo:
    """Return the machine's current values, with the given CPU use in %. The last path is the storage's."""
    memory, load = psutil.virtual_memory(), os.getloadavg()
    total, available = memory.total // _MIB, memory.available // _MIB
    used = (memory.total - memory.available) // _MIB
    disks = tuple(_disk(path) for path in disk_paths)
    storage = disks[-1]
    return SystemInfo(
        hostname=socket.gethostname(),
        os=f"{os.uname().sysname} {os.uname().release}",
        cpu_count=psutil.cpu_count(),
        cpu_percent=cpu_percent,
        load_average=tuple(load),
        memory=HostMemory(
            total=total,
            used=used,
            available=available,
            percent=memory.percent,
        ),
        disks=disks,
        uptime=int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        cpu_usage=cpu_percent,
        memory_total=total,
        memory_used=used,
        memory_available=available,
        disk_total=storage.total,
        disk_used=storage.used,
        disk_free=storage.free,
    )


def _disk(path: Path) -> DiskUsage:
    # The directory may not exist yet; its nearest existing parent is on the disk that will contain it.
    there = next((parent for parent in [path, *path.absolute().parents] if parent.exists()), Path("/"))
    try:
        usage = psutil.disk_usage(str(there))
    except OSError:
        return DiskUsage(path=str(path), total=None, used=None, free=None, percent=None)
    return DiskUsage(
        path=str(path),
        total=usage.total // _MIB,
        used=usage.used // _MIB,
        free=usage.free // _MIB,
        percent=usage.percent,
    )


def is_here(url: str) -> bool:
    """Return whether an address is on this machine."""
    host = (urlsplit(url).hostname or "").lower()
    return host in ("localhost", "127.0.0.1", "::1") or host in own_addresses()
