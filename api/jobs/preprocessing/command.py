"""Runs the administrator's command that writes a caption, without a shell, with limits of time and output."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from api.domain.captioning import FILE_PLACEHOLDER, CaptionSettings
from api.jobs.errors import StopRequested
from api.jobs.preprocessing.vision import MAX_ANSWER, Refused, Unreachable, clean_caption

#: Seconds between two checks of whether to stop.
POLL_SECONDS = 0.5

#: Bytes from the end of standard error that are quoted after a failure.
_ERROR_BYTES = 300
_CHUNK = 65_536


class CaptionCommand:
    """A program that runs once for each file and prints its caption."""

    def __init__(
        self, settings: CaptionSettings, environment: Mapping[str, str], is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """`environment` is the program's environment, except the prompt and the model."""
        self._argv = settings.command
        self._bound = settings.timeout_seconds
        # A prompt is untrusted: as an argument it could be taken for an option.
        self._environment = {
            **environment,
            "CAPTION_PROMPT": settings.prompt.replace("\0", " "),
            "CAPTION_MODEL": settings.model,
        }
        self._is_stopping = is_stopping

    def describe(self, path: Path) -> str:
        """Return the caption of a file.

        Raises Refused if this file gets no caption, Unreachable if no file would, StopRequested.
        """
        argv = [part.replace(FILE_PLACEHOLDER, str(path)) for part in self._argv]
        process = self._start(argv, path.parent)
        try:
            output, errors = self._read(process)
        finally:
            # Its children too must not outlive the call.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        code = process.returncode
        if code != 0:
            raise Refused(f"the command ended with {_name(code)}{_quote(errors)}")
        try:
            return clean_caption(output.decode(errors="replace"))
        except ValueError as error:
            raise Refused(f"{error}{_quote(errors)}") from None

    def _start(self, argv: Sequence[str], directory: Path) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=directory,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise Unreachable(f"the command cannot be started: {error}"[:_ERROR_BYTES]) from None

    def _read(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """Return its output and the end of its errors after it has ended. Raises the same errors as `describe`."""
        output, errors, ends = b"", b"", time.monotonic() + self._bound
        with selectors.DefaultSelector() as selector:
            for pipe in (process.stdout, process.stderr):
                selector.register(_of(pipe), selectors.EVENT_READ)
            while not _has_ended(process) or _has_more(selector):
                self._require_time(ends)
                for key, _ in selector.select(POLL_SECONDS):
                    part = os.read(key.fd, _CHUNK)
                    if not part:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        output += part
                    else:
                        errors = (errors + part)[-_ERROR_BYTES:]
                    if len(output) > MAX_ANSWER:
                        raise Refused("the command's output is too long")
                if not selector.get_map() and not _has_ended(process):
                    time.sleep(POLL_SECONDS / 10)
        return output, errors

    def _require_time(self, ends: float) -> None:
        if self._is_stopping():
            raise StopRequested
        if time.monotonic() > ends:
            raise Unreachable(f"the command took longer than {self._bound:.0f} s")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # Without reaping it, so that its process group id is not reused before its children are killed.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _has_more(selector: selectors.BaseSelector) -> bool:
    """Return whether an ended program left output to read. Pipes that its children hold open are not waited for."""
    return bool(selector.get_map()) and bool(selector.select(0))


def _of(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the process has no pipe")
    return pipe


def _name(code: int) -> str:
    with suppress(ValueError):
        return f"code {code}" if code > 0 else signal.Signals(-code).name
    return f"code {code}"


def _quote(errors: bytes) -> str:
    text = " ".join(errors.decode(errors="replace").split())
    return f": {text}" if text else ""
