"""The user that a trainer runs as, if it differs from its supervisor's.

Its processes can signal neither supervisor nor service, and access only the stored files that are opened to them here.
Each task also has its own group, so that trainers of two tasks, although of one user, cannot access each other's files
and memory.
"""

from __future__ import annotations

import os
import signal
import stat
import time

from api.util.files.foreign_files import close, open_directory, open_there

from .process_marks import hash_of
from .processes import read_stat
from .small_files import complain, number

#: The range of task groups: above those that systems and directory services assign to people, below 2^31.
FIRST_GROUP, GROUPS = 2_000_300_000, 2**27

UMASK = 0o007  #: files in its output directory belong to the trainer and to the group that the service has joined
RESTORE_SECONDS = 8.0
_TOOLS = ("/usr/bin", "/bin")


class RunAs:
    """Another user for a trainer, and the files opened to it. Raises ValueError if it is invalid.

    `gid` is the user's own group, which the service has joined. `output` is the directory that the trainer may write
    to, one level below its task's. `files` are the names of files in the attempt's directory that it may read.
    """

    def __init__(self, given: dict[str, object]) -> None:
        self.uid, self.gid = _id(given.get("uid")), _id(given.get("gid"))
        groups, files = given.get("groups"), given.get("files")
        self._groups = [_id(group) for group in groups] if isinstance(groups, list) else []
        self._files = [str(name) for name in files] if isinstance(files, list) else []
        self._setpriv, self.output = str(given.get("setpriv")), str(given.get("output"))
        self.group = group_of(os.path.basename(os.path.dirname(self.output)))  #: the task's own

    def command(self, argv: list[str], environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """Return the arguments and the environment that run this command as the user, without privileges."""
        # Not while the process has privileges: these variables name code that is loaded into every program.
        late = {name: value for name, value in environment.items() if name.startswith("LD_")}
        if late:
            argv = [find_tool("env"), *(f"{name}={value}" for name, value in late.items()), *argv]
        groups = ",".join(str(group) for group in dict.fromkeys([self.gid, *self._groups]))
        to_user = [f"--reuid={self.uid}", f"--regid={self.group}", f"--groups={groups}"]
        without = ["--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"]
        rest = {name: value for name, value in environment.items() if name not in late}
        return [self._setpriv, *to_user, *without, "--", *argv], rest

    def admit(self, directory: str, printed: str) -> None:
        """Grant the trainer access to the path to its files, these files, its output directory and `printed`.

        The trainer may reopen `printed` through /dev/stdout. Raises OSError.
        """
        # Only a member of a group can assign files to it. Only this process and its trainer are members.
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

    def restore_access(self) -> None:
        """Give the service access to what the trainer has closed in its output directory, after it has ended."""
        try:
            if not os.stat(self.output).st_mode & stat.S_ISGID:
                return
        except OSError:
            return
        give_up_at = time.monotonic() + RESTORE_SECONDS
        for tool, change in (("chmod", "ug+rwX"), ("chgrp", str(self.gid))):
            # As the trainer's user, so that nothing can be changed that the trainer could not change.
            argv, environment = self.command([find_tool(tool), "-R", change, "--", self.output], {})
            _run(argv, environment, give_up_at)


def group_of(task: str) -> int:
    """Return the number of a task's own group."""
    return FIRST_GROUP + hash_of(task) % GROUPS


def find_tool(name: str) -> str:
    """Return the path of a system program."""
    return next((path for place in _TOOLS if os.access(path := f"{place}/{name}", os.X_OK)), f"/usr/bin/{name}")


def _id(given: object) -> int:
    figure = number(given)
    if figure is None or figure != int(figure) or not 0 < figure < 2**32 - 1:
        raise ValueError("spec.json: run_as has an invalid user, or root")
    return int(figure)


def _give(handle: int, group: int, mode: int) -> None:
    """Assign one of our files to a group, and close it.

    Raises OSError.
    """
    try:
        os.fchown(handle, -1, group)
        os.fchmod(handle, mode)
    finally:
        close(handle)


def _share_content(output: int, group: int) -> None:
    """Assign files of trainers that ran as our own user to the group, so that another user can continue with them."""
    for _, _, files, directory in os.fwalk(".", dir_fd=output, follow_symlinks=False):
        _share(directory, group, 0o2770)
        for name in files:
            try:
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
            except OSError:
                continue  # a link, or a file of another user
            _share(handle, group, 0o660)
            close(handle)


def _share(handle: int, group: int, mode: int) -> None:
    status = os.fstat(handle)
    # A file with several names may belong to something else, too.
    is_single = stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
    if is_single and status.st_uid == os.geteuid():
        os.fchown(handle, -1, group)
        os.fchmod(handle, mode)


def _run(argv: list[str], environment: dict[str, str], give_up_at: float) -> None:
    """Run a program, at most until `give_up_at`; a failure is ignored."""
    nothing = [(os.POSIX_SPAWN_OPEN, handle, os.devnull, os.O_RDWR, 0) for handle in (0, 1, 2)]
    try:
        pid = os.posix_spawn(argv[0], argv, environment, file_actions=nothing)
    except OSError as error:
        complain(f"files that the trainer has closed stay unreadable: {error}")
        return
    process = read_stat(pid)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() >= give_up_at and process is not None:
            complain("files that the trainer has closed stay unreadable: there are too many")
            process.send(signal.SIGKILL)
        time.sleep(0.005)
