"""TRAINER_USER: the user that trainers run as, found and proven at the start of the service."""

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import api
from api.config import ConfigError
from api.executors.attempt.process_marks import ProcessMark, read_limit
from api.executors.attempt.processes import read_stat
from api.executors.attempt.run_as import RunAs

_NUMBERS = re.compile(r"(\d{1,10}):(\d{1,10})", re.ASCII)

#: Seconds that a program of the system has to answer as the trainer's user.
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
    groups: tuple[int, ...]  #: further ones, such as those of the GPUs' device files
    home: Path
    setpriv: str  #: the program that changes the user

    def as_json(self) -> dict[str, object]:
        """What a supervisor must know of it."""
        return {"uid": self.uid, "gid": self.gid, "groups": list(self.groups), "setpriv": self.setpriv}

    def environment(self, caches: Path) -> dict[str, str]:
        """The variables that differ from the service's. Who has no home finds `caches` there."""
        home = self.home if self.home.is_dir() else caches
        # What one training left under its home must not be imported by all that follow.
        return {"HOME": str(home), "USER": self.name, "LOGNAME": self.name, "PYTHONNOUSERSITE": "1"}

    def check(self) -> None:
        """Has a process become this user, and looks at it. Raises ConfigError where trainings could not be ended so."""
        command, environment = self._as_user("cat")
        pipe = subprocess.PIPE
        with (
            ProcessMark("probe").handed_on(),
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process,
        ):
            # What comes back has gone through a program of that user, which lives until its input ends.
            answer = _echo(process)
            mistake = self._mistake_with(process.pid) if answer else None
            _, why = process.communicate(timeout=PROBE_SECONDS)
        if not answer:
            said = why.decode(errors="replace").strip() or f"{self.setpriv} ended with {process.returncode}"
            raise self._refused(f"no process can become this user ({said}): {_REMEDY}")
        if mistake is not None:
            raise self._refused(mistake)

    @staticmethod
    def _mistake_with(pid: int) -> str | None:
        if read_stat(pid) is None or read_limit(pid) != ProcessMark("probe").limit:
            return (
                "its processes cannot be seen: mount /proc without hidepid, or let the service's user be its gid= group"
            )
        try:
            os.kill(pid, 0)
        except PermissionError:
            return f"its processes cannot be ended: {_REMEDY}"
        return None

    def join_group(self) -> None:
        """Puts this process into the user's group, so that it can read what trainers make. Raises ConfigError."""
        have = os.getgroups()
        if self.gid in (os.getegid(), *have):
            return
        try:
            os.setgroups([*have, self.gid])
        except OSError as error:
            raise self._refused(f"the service cannot join its group ({error.strerror}): {_REMEDY}") from error

    def check_places(self, reached: Path, closed: Sequence[Path]) -> None:
        """Raises ConfigError when the user cannot pass to `reached`, could change the service's own program, or could
        read any of `closed`.
        """
        for place in (Path(api.__file__).parent, Path(sys.prefix)):
            if self.may("-w", place):
                raise self._refused(f"it may write to {place}, and so change what the service does: `chown -R root` it")
        for path in closed:
            if self.may("-r", path):
                raise self._refused(f"it may read {path}: `chmod go= {path}`")
        if not self.may("-x", reached):
            raise self._refused(
                f"it cannot pass to {reached}: let it pass through each directory above (`chmod o+x`), or keep "
                "STORAGE_ROOT elsewhere"
            )

    def may(self, what: str, path: Path) -> bool:
        """Whether the user may read (-r), write to (-w) or enter and execute (-x) what is there."""
        command, environment = self._as_user("test", what, str(path.absolute()))
        found = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False, timeout=PROBE_SECONDS)
        return found.returncode == 0

    def _as_user(self, *command: str) -> tuple[list[str], dict[str, str]]:
        run_as = RunAs({**self.as_json(), "output": "/probe/output"})
        return run_as.command([shutil.which(command[0], path=os.defpath) or command[0], *command[1:]], {})

    def _refused(self, why: str) -> ConfigError:
        return ConfigError(f"TRAINER_USER={self.name}: {why}")


def find_trainer_user(given: str) -> TrainerUser:
    """The user of this name, or of these numbers (`uid:gid`). Raises ConfigError where there is none that would do."""
    setpriv, numbers = shutil.which("setpriv") or "", _NUMBERS.fullmatch(given)
    try:
        if numbers:
            # It need not be in the list of users, as in many containers.
            user = TrainerUser(given, int(numbers[1]), int(numbers[2]), (), Path("/nonexistent"), setpriv)
        else:
            user = _of_name(given, setpriv)
    except KeyError:
        raise ConfigError(
            f"TRAINER_USER={given}: this machine has no such user: make one "
            f"(`useradd --system --user-group --no-create-home {given}`), or leave TRAINER_USER out"
        ) from None
    if user.uid == 0 or user.gid == 0:
        raise ConfigError(f"TRAINER_USER={given}: that is root, or in root's group: name a user without privileges")
    if user.uid in os.getresuid():
        raise ConfigError(
            f"TRAINER_USER={given}: that is the service's own user, and nothing would separate trainers from it: "
            "name another"
        )
    if not user.setpriv:
        raise ConfigError(f"TRAINER_USER={given}: the program setpriv (of util-linux) is missing: install it")
    return user


def _echo(process: subprocess.Popen[bytes]) -> bytes:
    """What a process answers to a line; nothing when it ends instead."""
    if process.stdin is None or process.stdout is None:
        return b""
    try:
        process.stdin.write(b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    return process.stdout.readline()


def _of_name(name: str, setpriv: str) -> TrainerUser:
    found = pwd.getpwnam(name)
    groups = tuple(gid for gid in os.getgrouplist(name, found.pw_gid) if gid != found.pw_gid)
    return TrainerUser(name, found.pw_uid, found.pw_gid, groups, Path(found.pw_dir), setpriv)
