"""Run programs that administrators configure, with limits of time and output, and leave no process behind."""

import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_CHUNK = 65_536

#: Bytes from the end of standard error that are returned where it is separate.
ERROR_BYTES = 300
_UNUSABLE = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR)

#: Seconds between two looks at whether the program has ended while its output stays open.
_LOOK_SECONDS = 0.2

#: Time limit in seconds.
COMMAND_SECONDS = 60.0

#: Length of the end of stderr that an error message quotes, in characters.
_OUTPUT_CHARACTERS = 300


class TookTooLong(Exception):
    """The program did not end in time."""


class PrintedTooMuch(Exception):
    """The program printed more than permitted; `output` is its first part."""

    def __init__(self, output: bytes) -> None:
        super().__init__()
        self.output = output


@dataclass(frozen=True, slots=True)
class EndedProgram:
    """What a program printed, and how it ended."""

    output: bytes
    errors: bytes  #: the end of its standard error if that is separate, else empty
    exit_code: int  #: negative: the signal that ended it

    def describe_exit(self) -> str:
        """Return the exit code or the signal in words."""
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"


def start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    given: IO[bytes] | None = None,
    *,
    has_separate_errors: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program for `run_to_end` with `given` as its standard input.

    Raise OSError or ValueError if it cannot be started.
    """
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if given is None else given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if has_separate_errors else subprocess.STDOUT,
        env=dict(environment),
        cwd=directory,
        start_new_session=True,
    )


def run_to_end(
    process: subprocess.Popen[bytes], seconds: float, max_bytes: int, check: Callable[[], None] = lambda: None
) -> EndedProgram:
    """Read the output of a started program until its end. Whatever it started is killed then.

    Raise TookTooLong or PrintedTooMuch, or the errors of `check`, which is called several times a second.
    """
    try:
        output, errors = _read(process, time.monotonic() + seconds, max_bytes, check)
    finally:
        _kill(process)
    return EndedProgram(output, errors, process.wait())


@dataclass(frozen=True, slots=True)
class ProgramOutput:
    """What a program printed to both outputs, and why it failed, or None."""

    text: str
    problem: str | None = None
    ended: bool = True  #: whether it ended by itself, or cannot be started; otherwise the result is unknown


def run_bounded(
    argv: Sequence[str], environment: Mapping[str, str], directory: Path, script: Path, seconds: float, max_bytes: int
) -> ProgramOutput:
    """Run `argv` in `directory` with `script` as its standard input."""
    try:
        with script.open("rb") as given:
            process = start(argv, environment, directory, given)
    except (OSError, ValueError) as error:
        why = f"It cannot be run: {getattr(error, 'strerror', None) or error}."
        # Other errors are about this machine at this moment, such as a lack of memory.
        return ProgramOutput("", why, ended=getattr(error, "errno", None) in _UNUSABLE)
    try:
        found = run_to_end(process, seconds, max_bytes)
    except TookTooLong:
        return ProgramOutput("", f"It did not end within {seconds:g} s.", ended=False)
    except PrintedTooMuch as error:
        text = error.output.decode(errors="replace")
        return ProgramOutput(text, f"It printed more than {max_bytes} bytes.", ended=False)
    problem = f"It ended with {found.describe_exit()}." if found.exit_code else None
    return ProgramOutput(found.output.decode(errors="replace"), problem)


def _read(
    process: subprocess.Popen[bytes], end: float, max_bytes: int, check: Callable[[], None]
) -> tuple[bytes, bytes]:
    output, errors = bytearray(), b""
    with selectors.DefaultSelector() as selector:
        for pipe in filter(None, (process.stdout, process.stderr)):
            selector.register(pipe, selectors.EVENT_READ)
        # The output can end before the program, or stay open in a child after the program's end.
        while True:
            check()
            if time.monotonic() > end:
                raise TookTooLong
            # Before the output is read: what the program printed last must not be missed.
            has_ended = _has_ended(process)
            ready = selector.select(0 if has_ended else _LOOK_SECONDS) if selector.get_map() else []
            for key, _ in ready:
                part = os.read(key.fd, _CHUNK)
                if not part:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    output += part
                else:
                    errors = (errors + part)[-ERROR_BYTES:]
            if len(output) > max_bytes:
                raise PrintedTooMuch(bytes(output[:max_bytes]))
            if has_ended and not ready:
                return bytes(output), errors
            if not selector.get_map():
                time.sleep(_LOOK_SECONDS / 4)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # Not reaped, so that its number still belongs to its group when the group is killed.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in filter(None, (process.stdout, process.stderr)):
        pipe.close()
    # A process that hangs in a file system cannot be killed; do not wait for it.
    with suppress(subprocess.TimeoutExpired):
        process.wait(2.0)


def run_command(argv: Sequence[str], environment: Mapping[str, str], seconds: float = COMMAND_SECONDS) -> str | None:
    """Run the command to its end. Return why it failed, or None."""
    try:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(environment),
            check=False,
            timeout=seconds,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return f"{argv[0]} took longer than {seconds:.0f} s and was killed"
    except OSError as error:
        return f"{argv[0]} cannot be run: {error.strerror}"
    if ended.returncode == 0:
        return None
    output = " ".join(ended.stderr.decode(errors="replace").split())[-_OUTPUT_CHARACTERS:]
    return f"{argv[0]} ended with {ended.returncode}" + (f": {output}" if output else "")
