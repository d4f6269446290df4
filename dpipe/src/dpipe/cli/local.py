"""A server for the time of one training, where none runs."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from dpipe.client import Client
from dpipe.errors import Unreachable

START_SECONDS, END_SECONDS = 60.0, 35.0

#: Becomes the server (its arguments from the second on), which the kernel ends when the process with the id in the
#: first argument has ended, however that was: a killed program cannot end its server itself. Python has no call for
#: this in a child, and running code between fork and exec is unsafe.
_END_WITH_PARENT = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""

_REMEDY = "Name the service's checkout with --service or DPIPE_SERVICE, or start the server yourself: make background."


def find_service(given: Path | None) -> tuple[list[str], Path | None]:
    """Return the command that starts the service, and the directory in which it runs. Raise Unreachable."""
    own = Path(__file__).resolve().parents[4]
    for place in [given] if given is not None else [own, Path.cwd()]:
        if (place / "api" / "__main__.py").is_file():
            python = place / ".venv" / "bin" / "python"
            if not python.is_file():
                raise _not_started(f"{place} has no environment.", f"Create it: make -C {place} install")
            return [str(python.absolute()), "run.py"], place.resolve()
    program = shutil.which("diffusion-pipe-api")
    if given is None and program is not None:
        return [program], None
    what = "The service is not installed here." if given is None else f"{given} is not a checkout of the service."
    raise _not_started(what, _REMEDY)


@contextlib.contextmanager
def own_server(client: Client, given: Path | None) -> Iterator[bool]:
    """Run a server at the client's address unless one answers there; yield whether it was started. Raise Unreachable.

    It uses the service's own settings and storage, so the results stay. It ends with this program, even if that is
    killed; a training then continues without them.
    """
    # One attempt: the client's own retries would wait longer.
    probe = Client(client.url, timeout=5, retries=0)
    if _answers(probe):
        yield False
        return
    address = urlsplit(client.url)
    if address.scheme != "http" or address.hostname not in ("127.0.0.1", "localhost", "::1"):
        remedy = "Unset DPIPE_URL, or choose a local address: --url http://127.0.0.1:8080."
        raise _not_started(f"No server answers at {client.url}, and one can be started on this machine only.", remedy)
    command, place = find_service(given)
    host = "::1" if address.hostname == "::1" else "127.0.0.1"
    command += ["--host", host, "--port", str(address.port or 80)]
    if sys.platform == "linux":
        command = [sys.executable, "-IS", "-c", _END_WITH_PARENT, str(os.getpid()), *command]
    with tempfile.TemporaryFile() as log:
        # Its own session: Ctrl-C reaches only this program, which still needs the server.
        process = subprocess.Popen(  # noqa: S603 - the service itself
            command, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _await(process, probe, log)
            yield True
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            process.kill()  # does nothing if it has ended
            process.wait()


def _answers(probe: Client) -> bool:
    try:
        probe.get("/health")
    except Unreachable:
        return False
    return True


def _await(process: subprocess.Popen[bytes], probe: Client, log: IO[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if _answers(probe):
            return
        time.sleep(0.1)
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines() or ["its log is empty"]
    raise _not_started(f"The server did not start: {lines[-1]}", "Correct that, or start it yourself: make dev.")


def _not_started(message: str, remedy: str) -> Unreachable:
    return Unreachable(message, code="no_service", remedy=remedy)
