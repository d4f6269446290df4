"""The user that a trainer runs as, where that is another one than its supervisor's.

Its processes can signal neither supervisor nor service, and of what is stored they reach only what is opened to them
here. Each task has a group of its own besides, by which the trainers of two tasks, although of one user, are kept from
each other's files and memory.
"""

from __future__ import annotations

import os
import signal
import stat
import time

from api.util.foreign_files import close, open_directory, open_there

from .files import complain, number
from .process_marks import hash_of
from .processes import read_stat

#: The groups of tasks: beyond those that systems and directory services give to people, and below 2^31.
FIRST_GROUP, GROUPS = 2_000_300_000, 2**27

UMASK = 0o007  #: what a trainer makes in its output directory is its own, and of the group that the service is in
HAND_BACK_SECONDS = 8.0
_TOOLS = ("/usr/bin", "/bin")


class RunAs:
    """Another user for a trainer, and the files that are opened to it. Raises ValueError where it makes no sense.

    `gid` is the user's own group, which the service is in, too; `output` the directory that the trainer may write to,
    one level below its task's; `files` the names of those in the attempt's directory that it may read.
    """

    def __init__(self, given: dict[str, object]) -> None:
        self.uid, self.gid = _id(given.get("uid")), _id(given.get("gid"))
        groups, files = given.get("groups"), given.get("files")
        self._groups = [_id(group) for group in groups] if isinstance(groups, list) else []
        self._files = [str(name) for name in files] if isinstance(files, list) else []
        self._setpriv, self.output = str(given.get("setpriv")), str(given.get("output"))
        self.group = group_of(os.path.basename(os.path.dirname(self.output)))  #: the task's own

    def command(self, argv: list[str], environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """The arguments and the environment with which this command is executed as the user, without any privilege."""
        # Not while there still are privileges: these name code that is loaded into every program.
        late = {name: value for name, value in environment.items() if name.startswith("LD_")}
        if late:
            argv = [find_tool("env"), *(f"{name}={value}" for name, value in late.items()), *argv]
        groups = ",".join(str(group) for group in dict.fromkeys([self.gid, *self._groups]))
        to_user = [f"--reuid={self.uid}", f"--regid={self.group}", f"--groups={groups}"]
        without = ["--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"]
        rest = {name: value for name, value in environment.items() if name not in late}
        return [self._setpriv, *to_user, *without, "--", *argv], rest

    def admit(self, directory: str, printed: str) -> None:
        """Opens to the trainer what it needs: the way to its files, those files, its output directory, and `printed`,
        which it may open anew by /dev/stdout. Raises OSError.
        """
        # Only a member of a group gives files to it; nobody but this process and its trainer is one.
        os.setgroups([*os.getgroups(), self.group])
        for levels, passed in enumerate((os.path.dirname(self.output), os.path.dirname(directory), directory), 1):
            _give(open_directory(passed, levels), self.group, 0o710)
        for name in self._files:
            _give(open_there(f"{directory}/{name}", os.O_RDONLY), self.group, 0o640)
        os.chown(printed, -1, self.group, follow_symlinks=False)
        os.chmod(printed, 0o620)
        output = open_directory(self.output, 2)
        if not os.fstat(output).st_mode & stat.S_ISGID:
            _share_content(output, self.gid)
        _give(output, self.gid, 0o2770)

    def hand_back(self) -> None:
        """Opens to the service what the trainer has closed in its output directory, once it has ended."""
        try:
            if not os.stat(self.output).st_mode & stat.S_ISGID:
                return
        except OSError:
            return
        give_up_at = time.monotonic() + HAND_BACK_SECONDS
        for tool, wish in (("chmod", "ug+rwX"), ("chgrp", str(self.gid))):
            # As the trainer's user: whatever stands there, no more can be changed than it could change itself.
            argv, environment = self.command([find_tool(tool), "-R", wish, "--", self.output], {})
            _run(argv, environment, give_up_at)


def group_of(task: str) -> int:
    """The number of a task's own group."""
    return FIRST_GROUP + hash_of(task) % GROUPS


def find_tool(name: str) -> str:
    """The path of a program of the system itself."""
    return next((path for place in _TOOLS if os.access(path := f"{place}/{name}", os.X_OK)), f"/usr/bin/{name}")


def _id(given: object) -> int:
    figure = number(given)
    if figure is None or figure != int(figure) or not 0 < figure < 2**32 - 1:
        raise ValueError("spec.json: run_as names no user, or root")
    return int(figure)


def _give(handle: int, group: int, mode: int) -> None:
    """Gives a file of ours to a group, and closes it. Raises OSError."""
    try:
        os.fchown(handle, -1, group)
        os.fchmod(handle, mode)
    finally:
        close(handle)


def _share_content(output: int, group: int) -> None:
    """Gives to the group what trainers that ran as our own user have left: another one is to go on from it."""
    for _, _, files, directory in os.fwalk(".", dir_fd=output, follow_symlinks=False):
        _share(directory, group, 0o2770)
        for name in files:
            try:
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
            except OSError:
                continue  # a link, or somebody else's
            _share(handle, group, 0o660)
            close(handle)


def _share(handle: int, group: int, mode: int) -> None:
    status = os.fstat(handle)
    # Another name of the same file may be somebody else's.
    is_single = stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
    if is_single and status.st_uid == os.geteuid():
        os.fchown(handle, -1, group)
        os.fchmod(handle, mode)


def _run(argv: list[str], environment: dict[str, str], give_up_at: float) -> None:
    """Runs a program until then at the latest; a failure is ignored."""
    nothing = [(os.POSIX_SPAWN_OPEN, handle, os.devnull, os.O_RDWR, 0) for handle in (0, 1, 2)]
    try:
        pid = os.posix_spawn(argv[0], argv, environment, file_actions=nothing)
    except OSError as error:
        complain(f"what the trainer has closed stays closed: {error}")
        return
    process = read_stat(pid)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() >= give_up_at and process is not None:
            complain("what the trainer has closed stays closed: there is too much of it")
            process.send(signal.SIGKILL)
        time.sleep(0.005)
