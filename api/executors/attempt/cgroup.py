"""A control group for an attempt's processes, which they keep when parents die, and which can be killed as a whole.

Only version 2, and only if the supervisor's group is delegated to its user, as with `Delegate=yes` in systemd. A
process of the same user can still move itself out. Fork, setsid and an empty environment do not suffice for that.
"""

from __future__ import annotations

import os

from .small_files import complain, read_file

_PREFIX = "dpipe-"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Cgroup:
    """A control group of version 2, by its directory. The functions below create it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def move_here(self) -> None:
        """Move this process into the group, so that its children start there.

        Raises OSError.
        """
        _write(f"{self.path}/cgroup.procs", b"0")

    def pids(self) -> set[int]:
        """Return the pids of the processes in the group and below it, except this process."""
        found: set[int] = set()
        for path in self._paths():
            try:
                found.update(int(line) for line in read_file(f"{path}/cgroup.procs").split())
            except (OSError, ValueError):
                continue
        # This process is only in the group if it could not move out again.
        found.discard(os.getpid())
        return found - {0}

    def kill(self) -> None:
        """Send SIGKILL to the whole group, including new processes. Does nothing on kernels before 5.14."""
        try:
            if str(os.getpid()).encode() not in read_file(f"{self.path}/cgroup.procs").split():
                _write(f"{self.path}/cgroup.kill", b"1")
        except OSError:
            return

    def remove(self) -> None:
        """Remove the group and those below it, unless they contain processes."""
        for path in reversed(list(self._paths())):
            try:
                os.rmdir(path)
            except OSError:
                continue

    def _paths(self) -> list[str]:
        return [path for path, _, _ in os.walk(self.path)]


def own_cgroup(pid: int | str = "self") -> Cgroup | None:
    """Return the group of a process, by default this one; None if there are no groups of version 2."""
    try:
        lines = read_file(f"/proc/{pid}/cgroup").decode(errors="surrogateescape").splitlines()
    except OSError:
        return None
    inside = next((line[3:] for line in lines if line.startswith("0::/")), None)
    for root, mount in _mounts():
        if inside is None or "/.." in inside:
            break
        if root in ("/", inside) or inside.startswith(f"{root}/"):
            below = inside if root == "/" else inside[len(root) :]
            return Cgroup(f"{mount}{below}".rstrip("/"))
    return None


def make_cgroup(own: Cgroup, uid: str) -> Cgroup | None:
    """Create a group for an attempt below `own`. Return None if that is not permitted."""
    made = Cgroup(f"{own.path}/{_name(uid)}")
    try:
        os.makedirs(made.path, exist_ok=True)
        made.move_here()
        own.move_here()
    except OSError as error:
        complain(f"no control group for the trainer; its processes are followed one by one: {error}")
        made.remove()
        return None
    return made


def find_cgroup(path: object, uid: str, trainer: int | None = None) -> Cgroup | None:
    """Return the attempt's group: at the recorded path, else the trainer's, else below ours.

    None if there is none.
    """
    found = _check(path, uid)
    if found is None and trainer is not None:
        its = own_cgroup(trainer)
        found = None if its is None else _check(its.path, uid)
    if found is None:
        own = own_cgroup()
        found = None if own is None else _check(f"{own.path}/{_name(uid)}", uid)
    return found


def _check(path: object, uid: str) -> Cgroup | None:
    if not isinstance(path, str) or os.path.basename(path) != _name(uid) or os.path.normpath(path) != path:
        return None
    mounts = [mount for _, mount in _mounts()]
    is_there = any(path.startswith(f"{mount}/") for mount in mounts) and os.path.isdir(path)
    return Cgroup(path) if is_there else None


def _name(uid: str) -> str:
    return _PREFIX + "".join(character if character in _PLAIN else "_" for character in uid)


def _mounts() -> list[tuple[str, str]]:
    """Return the mounts of the version 2 hierarchy as pairs of the mounted subtree and the mount point."""
    try:
        lines = read_file("/proc/self/mountinfo").decode(errors="surrogateescape").splitlines()
    except OSError:
        return []
    parts = [line.split(" ") for line in lines if " - cgroup2 " in line]
    return [(fields[3], fields[4]) for fields in parts if len(fields) > 4]


def _write(path: str, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)
