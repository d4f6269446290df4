"""TRAINER_USER: the user that trainers run as, looked up and tested when the service starts."""

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import api
from api.config import ConfigError
from api.executors.attempt.process_marks import ProcessMark, read_limit
from api.executors.attempt.processes import read_stat
from api.executors.attempt.run_as import RunAs

_NUMBERS = re.compile(r"(\d{1,10}):(\d{1,10})", re.ASCII)

#: Seconds that a system program may take when run as the trainer user.
PROBE_SECONDS = 10.0

_REMEDY = (
    "the service needs the capabilities CAP_SETUID, CAP_SETGID and CAP_KILL, as deploy/trainer-user.conf gives them, "
    "or to be started by root; without TRAINER_USER trainers run as the service's own user"
)


@dataclass(frozen=True, slots=True)
class TrainerUser:
    """A user of this machine that is not the service's own."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]  #: supplementary groups, such as those of the GPUs' device files
    home: Path
    setpriv: str  #: the path of setpriv, the program that changes the user

    def as_json(self) -> dict[str, object]:
        """Return the fields that a supervisor needs."""
        return {"uid": self.uid, "gid": self.gid, "groups": list(self.groups), "setpriv": self.setpriv}

    def environment(self, caches: Path) -> dict[str, str]:
        """Return the variables that differ from the service's. A user without a home directory gets `caches`."""
        home = self.home if self.home.is_dir() else caches
        # A package that one training installed under this home must not be imported by later ones.
        return {"HOME": str(home), "USER": self.name, "LOGNAME": self.name, "PYTHONNOUSERSITE": "1"}

    def check(self) -> None:
        """Start a process as this user and inspect it.

        Raises ConfigError if trainings could not be stopped that way.
        """
        command, environment = self._as_user("cat")
        pipe = subprocess.PIPE
        with (
            ProcessMark("probe").applied(),
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process,
        ):
            # An echoed line proves that the user's program runs. It lives until its input ends.
            answer = _echo(process)
            problem = self._find_problem(process.pid) if answer else None
            _, why = process.communicate(timeout=PROBE_SECONDS)
        if not answer:
            message = why.decode(errors="replace").strip() or f"{self.setpriv} ended with {process.returncode}"
            raise self._refused(f"no process can become this user ({message}): {_REMEDY}")
        if problem is not None:
            raise self._refused(problem)

    @staticmethod
    def _find_problem(pid: int) -> str | None:
        if read_stat(pid) is None or read_limit(pid) != ProcessMark("probe").limit:
            return (
                "its processes are not visible: mount /proc without hidepid, or add the service's user to its "
                "gid= group"
            )
        try:
            os.kill(pid, 0)
        except PermissionError:
            return f"its processes cannot be ended: {_REMEDY}"
        return None

    def join_group(self) -> None:
        """Add this process to the user's group, so that it can read the trainers' files.

        Raises ConfigError.
        """
        have = os.getgroups()
        if self.gid in (os.getegid(), *have):
            return
        try:
            os.setgroups([*have, self.gid])
        except OSError as error:
            raise self._refused(f"the service cannot join its group ({error.strerror}): {_REMEDY}") from error

    def command(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """Return the arguments and environment that run this command as the user."""
        run_as = RunAs({**self.as_json(), "output": "/probe/output"})
        return run_as.command(list(argv), dict(environment))

    def check_paths(self, reached: Path, closed: Sequence[Path]) -> None:
        """Raise ConfigError if the user can modify the service's program, read `closed` or not enter `reached`."""
        for place in (Path(api.__file__).parent, Path(sys.prefix)):
            if self.may("-w", place):
                raise self._refused(
                    f"it may write to {place}, which contains the service's program: run `chown -R root` on it"
                )
        for path in closed:
            if self.may("-r", path):
                raise self._refused(f"it may read {path}: run `chmod go= {path}`")
        if not self.may("-x", reached):
            raise self._refused(
                f"it cannot pass to {reached}: let it pass through each directory above (`chmod o+x`), or move "
                "STORAGE_ROOT elsewhere"
            )

    def may(self, what: str, path: Path) -> bool:
        """Return whether the user may read (-r), write (-w) or enter and execute (-x) this path."""
        command, environment = self._as_user("test", what, str(path.absolute()))
        found = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False, timeout=PROBE_SECONDS)
        return found.returncode == 0

    def _as_user(self, *command: str) -> tuple[list[str], dict[str, str]]:
        return self.command([shutil.which(command[0], path=os.defpath) or command[0], *command[1:]], {})

    def _refused(self, why: str) -> ConfigError:
        return ConfigError(f"TRAINER_USER={self.name}: {why}")


def find_trainer_user(given: str) -> TrainerUser:
    """Return the user with this name, or with these numbers (`uid:gid`).

    Raises ConfigError if the user is missing or unsuitable.
    """
    setpriv, numbers = shutil.which("setpriv") or "", _NUMBERS.fullmatch(given)
    try:
        if numbers:
            # It need not be in the user database; in many containers it is not.
            user = TrainerUser(given, int(numbers[1]), int(numbers[2]), (), Path("/nonexistent"), setpriv)
        else:
            found = pwd.getpwnam(given)
            groups = tuple(gid for gid in os.getgrouplist(given, found.pw_gid) if gid != found.pw_gid)
            user = TrainerUser(given, found.pw_uid, found.pw_gid, groups, Path(found.pw_dir), setpriv)
    except KeyError:
        raise ConfigError(
            f"TRAINER_USER={given}: this machine has no such user: create it "
            f"(`useradd --system --user-group --no-create-home {given}`), or remove TRAINER_USER"
        ) from None
    if user.uid == 0 or user.gid == 0:
        raise ConfigError(f"TRAINER_USER={given}: this is root, or in root's group: use a user without privileges")
    if user.uid in os.getresuid():
        raise ConfigError(
            f"TRAINER_USER={given}: this is the service's own user, which does not separate trainers from the service: "
            "use another one"
        )
    if not user.setpriv:
        raise ConfigError(f"TRAINER_USER={given}: the program setpriv (of util-linux) is missing: install it")
    return user


def _echo(process: subprocess.Popen[bytes]) -> bytes:
    """Return the process's echo of one line, or nothing if it ended instead."""
    if process.stdin is None or process.stdout is None:
        return b""
    try:
        process.stdin.write(b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    return process.stdout.readline()
