"""Has a program of the administrator's write a caption: an argument vector, no shell; bounded in time and output."""

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
from api.jobs.preprocessing.vision import MAX_ANSWER, Refused, Unreachable, clean_caption

#: Seconds between two looks at whether the caption is still wanted.
LOOK_SECONDS = 0.5

#: Bytes of what the program says besides that are kept: its last words tell what went wrong.
_WORDS = 300
_CHUNK = 65_536


class NotWanted(Exception):
    """The task was asked to stop while the program was at work."""


class CaptionCommand:
    """A program that is started once for each file, and writes its caption on standard output."""

    def __init__(
        self, settings: CaptionSettings, environment: Mapping[str, str], is_wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """`environment` is what the program gets besides prompt and model."""
        self._argv = settings.command
        self._bound = settings.timeout_seconds
        # Prompts are others' words: as an argument one could be taken for an option.
        self._environment = {
            **environment,
            "CAPTION_PROMPT": settings.prompt.replace("\0", " "),
            "CAPTION_MODEL": settings.model,
        }
        self._is_wanted = is_wanted

    def describe(self, path: Path) -> str:
        """The caption of a file. Raises Refused where this file gets none, Unreachable where no file would get one,
        NotWanted.
        """
        argv = [part.replace(FILE_PLACEHOLDER, str(path)) for part in self._argv]
        process = self._start(argv, path.parent)
        try:
            said, words = self._read(process)
        finally:
            # Its children too: none outlives the question.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        code = process.returncode
        if code != 0:
            raise Refused(f"the command ended with {_name(code)}{_quote(words)}")
        try:
            return clean_caption(said.decode(errors="replace"))
        except ValueError as error:
            raise Refused(f"{error}{_quote(words)}") from None

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
            raise Unreachable(f"the command cannot be started: {error}"[:_WORDS]) from None

    def _read(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """All that it writes, and its last words besides; it has ended then. Raises as `describe`."""
        said, words, ends = b"", b"", time.monotonic() + self._bound
        with selectors.DefaultSelector() as selector:
            for pipe in (process.stdout, process.stderr):
                selector.register(_of(pipe), selectors.EVENT_READ)
            while not _has_ended(process) or _has_more(selector):
                self._require_time(ends)
                for key, _ in selector.select(LOOK_SECONDS):
                    part = os.read(key.fd, _CHUNK)
                    if not part:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        said += part
                    else:
                        words = (words + part)[-_WORDS:]
                    if len(said) > MAX_ANSWER:
                        raise Refused("what the command writes has no end")
                if not selector.get_map() and not _has_ended(process):
                    time.sleep(LOOK_SECONDS / 10)
        return said, words

    def _require_time(self, ends: float) -> None:
        if not self._is_wanted():
            raise NotWanted
        if time.monotonic() > ends:
            raise Unreachable(f"the command took longer than {self._bound:.0f} s")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # It stays a zombie: until its children are ended too, nobody else has the number of its group.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _has_more(selector: selectors.BaseSelector) -> bool:
    """Whether an ended program has left something to read; what a child of its holds open is not waited for."""
    return bool(selector.get_map()) and bool(selector.select(0))


def _of(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("it has no pipe")
    return pipe


def _name(code: int) -> str:
    with suppress(ValueError):
        return f"code {code}" if code > 0 else signal.Signals(-code).name
    return f"code {code}"


def _quote(words: bytes) -> str:
    text = " ".join(words.decode(errors="replace").split())
    return f": {text}" if text else ""
