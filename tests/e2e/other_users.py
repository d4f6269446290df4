"""A server that runs as a user with only the privileges for TRAINER_USER, and trainings that run as another user.

Both users are unassigned numbers on this machine; nothing on the machine is changed for them.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.server import ROOT
from tests.e2e.training_server import TrainingServer
from tests.own_service import lacks

SERVICE, TRAINER = 64_871, 64_872
MEANS = "setuid,+setgid,+kill"


def require_other_users() -> None:
    """Skip where processes of other users are impossible. In CI, a capability that root lacks is a failure."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a server as another user")
    if shutil.which("setpriv") is None:
        lacks("setpriv (util-linux) is not on PATH")
    for uid in (SERVICE, TRAINER):
        if any(user.pw_uid == uid for user in pwd.getpwall()):
            pytest.skip(f"the number {uid} is a user here")
    become = ["setpriv", f"--reuid={TRAINER}", f"--regid={TRAINER}", "--clear-groups", "--"]
    done = subprocess.run([*become, sys.executable, "-c", ""], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no other user can be had here, or it cannot execute {sys.executable}: {done.stderr.decode()}")
    if subprocess.run([*become, "test", "-r", ROOT / "run.py"], check=False).returncode:
        pytest.skip(f"other users cannot read {ROOT}")


@contextmanager
def service_directory() -> Iterator[Path]:
    """Create a directory of the service's user that other users can pass through; pytest's are only for root."""
    directory = Path(tempfile.mkdtemp(prefix="trainer-user-"))
    try:
        directory.chmod(0o711)
        os.chown(directory, SERVICE, TRAINER)
        yield directory
    finally:
        shutil.rmtree(directory)


def as_service(*capabilities: str, group: int = TRAINER) -> list[str]:
    """Return the command prefix that starts a program as the service user with these capabilities."""
    kept = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    to_user = [f"--reuid={SERVICE}", f"--regid={group}", "--clear-groups"]
    return [
        "setpriv",
        *to_user,
        f"--inh-caps={kept}",
        f"--ambient-caps={kept}",
        f"--bounding-set={kept}",
        "--no-new-privs",
    ]


def separated_server(directory: Path, **settings: str) -> TrainingServer:
    """Return a server of the service's user whose trainings run as the trainer's user; it is not started yet."""
    server = unseparated_server(directory, TRAINER_USER=f"{TRAINER}:{TRAINER}", **settings)
    server.launcher = as_service("setuid", "setgid", "kill")
    return server


def unseparated_server(directory: Path, **settings: str) -> TrainingServer:
    """Return a server whose trainings run as the service's user, too; it is not started yet."""
    server = TrainingServer(directory, PYTHONPYCACHEPREFIX=str(directory / "bytecode"), **settings)
    server.launcher = as_service()
    return server
