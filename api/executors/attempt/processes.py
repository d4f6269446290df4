"""Identify processes, find those of an attempt, and signal them without reaching others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

from .cgroup import Cgroup
from .process_marks import ProcessMark
from .small_files import read_file

SEARCH_SECONDS = 1.0  #: how long the trainer is searched for: a process shows its environment late after exec
WHOLE_RANGE = 4096  #: the most new pids that are checked one by one; beyond that all processes are listed
LIST_SECONDS = 1.0  #: interval between full lists if the kernel does not report new pids

CHASES = 200  #: searches for new processes after each full list


class Stat:
    """One process: its identity, its parent, and whether it still runs. `start` is in clock ticks since boot."""

    __slots__ = ("is_alive", "is_thread", "pgid", "pid", "ppid", "sid", "start")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.ppid, self.pgid, self.sid = int(fields[1]), int(fields[2]), int(fields[3])
        self.start = int(fields[19])
        # The main thread of a live process can be a zombie while other threads run.
        self.is_thread = len(fields) > 35 and fields[35] == b"-1"
        self.is_alive = fields[0] not in (b"Z", b"X", b"x") or int(fields[17]) > 1

    @property
    def identity(self) -> tuple[int, int]:
        return self.pid, self.start

    def send(self, signum: int) -> None:
        """Signal exactly this process, never a later one with the same pid."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        except OSError:
            handle = -1  # an old or restricted kernel
        try:
            now = read_stat(self.pid)
            if now is None or now.start != self.start:
                return
            if handle >= 0:
                signal.pidfd_send_signal(handle, signum)
            else:
                os.kill(self.pid, signum)
        except OSError:
            return
        finally:
            if handle >= 0:
                os.close(handle)


def read_stat(pid: int) -> Stat | None:
    """Return the process with this pid from /proc, or None."""
    try:
        text = read_file(f"/proc/{pid}/stat")
    except OSError:
        return None
    # The name is in parentheses and may contain any character, including parentheses.
    fields = text[text.rfind(b")") + 1 :].split()
    return Stat(pid, fields) if len(fields) > 19 else None


def is_alive(pid: int, start: float) -> bool:
    """Return whether exactly this process still runs, not as a zombie and not a later one with its pid."""
    stat = read_stat(pid)
    return stat is not None and stat.start == start and stat.is_alive


def boot_id() -> str:
    """Return the kernel's id of the current boot."""
    return read_file("/proc/sys/kernel/random/boot_id").decode().strip()


def pid_namespace() -> int:
    """Return the id of this process's pid namespace, which differs between containers; 0 if unknown."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def all_pids() -> Iterator[int]:
    """Return the pids of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def marked_processes(uid: str) -> tuple[int, ...]:
    """Return the pids of the live processes that carry a mark of this attempt."""
    mark = ProcessMark(uid)
    return tuple(
        pid for pid in all_pids() if mark.is_on(pid) and (stat := read_stat(pid)) is not None and stat.is_alive
    )


def last_pid() -> int:
    """Return the most recently assigned pid; while it is unchanged, no process was created. 0 if unknown."""
    try:
        return int(read_file("/proc/loadavg").split()[4])
    except (OSError, ValueError, IndexError):
        return 0


def reap() -> Iterator[tuple[int, int]]:
    """Collect children that have ended; yield each one's pid and wait() status."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def has_children() -> bool:
    """Return whether this process has children, including zombies.

    A subreaper loses no descendant, so this is exact.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class Tree:
    """The processes of an attempt: the supervisor's descendants, marked processes, and their descendants.

    A process once seen stays a member, because it may have lost its parents since. If there is a control group, its
    processes are members, too.
    """

    def __init__(self, uid: str) -> None:
        self.main: tuple[int, int] | None = None
        self.cgroup: Cgroup | None = None
        self.is_settled = True  #: the last scan missed no process
        self.uid = uid
        self._mark = ProcessMark(uid)
        self._known: set[tuple[int, int]] = set()
        self._examined_to = 0
        self._listed_at = 0.0

    @property
    def known(self) -> set[tuple[int, int]]:
        """The pid and start of each process seen in the tree that is not known to have ended."""
        return self._known

    def restore(self, members: set[tuple[int, int]]) -> None:
        """Add the processes that an earlier supervisor saw."""
        self._known |= members

    def begin(self) -> None:
        """Declare that all processes of the tree start after this call, which avoids a list of all processes."""
        self._examined_to = last_pid()

    def observe(self) -> None:
        """Find processes created since the last call. It is cheap, so it can be called often."""
        if self.main is not None:
            self._known.add(self.main)
        newest = last_pid()
        if newest == self._examined_to and newest:
            return
        if newest and self._examined_to and newest - self._examined_to < WHOLE_RANGE:
            parents = {pid for pid, _ in self._known} | {os.getpid()}
            for stat in self._newborn(newest):
                if stat.ppid in parents and self._is_child(stat):
                    self._known.add(stat.identity)
                    parents.add(stat.pid)
        elif time.monotonic() - self._listed_at >= LIST_SECONDS:
            self._listed_at = time.monotonic()
            self._list(by_marker=True)

    def find_main(self) -> tuple[int, int] | None:
        """Return the trainer that was started but not recorded: the oldest process of the attempt, or None."""
        give_up_at = time.monotonic() + SEARCH_SECONDS
        while time.monotonic() < give_up_at:
            if members := self.scan():
                return min(members, key=lambda stat: (stat.pid != stat.sid, stat.start, stat.pid)).identity
            time.sleep(0.05)
        return None

    def scan(self, by_marker: bool = True) -> list[Stat]:
        """Return the running processes of the tree."""
        members = self._list(by_marker)
        return members + self._chase(0) if by_marker else members

    def kill(self) -> list[Stat]:
        """Send SIGKILL once to every process of the tree and to their groups, which cannot escape by forking.

        Returns the processes found.
        """
        members = self._list(by_marker=True)
        for stat in members:
            stat.send(signal.SIGKILL)
        members += self._chase(signal.SIGKILL)
        if self.cgroup is not None:
            self.cgroup.kill()
        own = os.getsid(0)
        for group in {stat.pgid for stat in members if stat.sid != own and stat.pgid > 1}:
            leader = read_stat(group)
            if leader is None or leader.identity in self._known:
                try:
                    os.killpg(group, signal.SIGKILL)
                except OSError:
                    continue
        return members

    def _list(self, by_marker: bool) -> list[Stat]:
        own, self._examined_to = os.getpid(), last_pid()
        found = {pid: stat for pid in all_pids() if pid != own and (stat := read_stat(pid)) is not None}
        children: dict[int, list[Stat]] = {}
        for stat in found.values():
            children.setdefault(stat.ppid, []).append(stat)
        members: dict[int, Stat] = {}
        self._add(children.get(own, []), children, members)
        if by_marker and self.cgroup is not None:
            self._add([found[pid] for pid in self.cgroup.pids() if pid in found], children, members)
        if by_marker:
            self._add(self._orphans(found), children, members)
            rest = [s for s in found.values() if s.pid not in members and s.is_alive]
            self._add([s for s in rest if self._mark.is_on(s.pid)], children, members)
        self._known &= {stat.identity for stat in found.values()}
        self._known |= {stat.identity for stat in members.values()}
        return [stat for stat in members.values() if stat.is_alive]

    def _orphans(self, found: dict[int, Stat]) -> list[Stat]:
        main = found.get(self.main[0]) if self.main is not None else None
        is_there = main is not None and main.identity == self.main
        # While the main process exists, its pid identifies its session. Later another process may have that pid.
        session = main.pid if main is not None and is_there else None
        return [stat for stat in found.values() if stat.identity in self._known or stat.sid == session]

    @staticmethod
    def _add(roots: list[Stat], children: dict[int, list[Stat]], members: dict[int, Stat]) -> None:
        waiting = list(roots)
        for stat in waiting:
            if stat.pid not in members:
                members[stat.pid] = stat
                waiting.extend(children.get(stat.pid, ()))

    def _chase(self, signum: int) -> list[Stat]:
        """Return members created since the list was made, and signal each immediately: they may escape by forking."""
        caught: list[Stat] = []
        for _ in range(CHASES):
            newest = last_pid()
            self.is_settled = newest == self._examined_to
            if self.is_settled:
                break
            for stat in self._newborn(newest):
                if self._mark.is_on(stat.pid) or self._is_child(stat):
                    if signum:
                        stat.send(signum)
                    self._known.add(stat.identity)
                    caught.append(stat)
        return caught

    def _newborn(self, newest: int) -> Iterator[Stat]:
        first, self._examined_to = self._examined_to + 1, newest
        # Pids restart at the end of their range; then all processes are checked.
        pids = range(first, newest + 1) if 0 <= newest - first < WHOLE_RANGE else all_pids()
        for pid in pids:
            stat = read_stat(pid)
            if (
                stat is not None
                and stat.is_alive
                and not stat.is_thread
                and stat.identity not in self._known
                and pid != os.getpid()
            ):
                yield stat

    def _is_child(self, stat: Stat) -> bool:
        if stat.ppid == os.getpid():
            return True
        parent = read_stat(stat.ppid)
        return parent is not None and parent.identity in self._known
