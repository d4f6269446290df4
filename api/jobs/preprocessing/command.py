"""Run the administrator's command that writes a caption, without a shell, with limits of time and output."""

from collections.abc import Callable, Mapping
from pathlib import Path

from api.domain.captioning import FILE_PLACEHOLDER, CaptionSettings
from api.executors.bounded_program import ERROR_BYTES, EndedProgram, PrintedTooMuch, TookTooLong, run_to_end, start
from api.jobs.errors import StopRequested
from api.jobs.preprocessing.vision import MAX_ANSWER, Refused, Unreachable, clean_caption


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
        found = self._run(path)
        if found.exit_code != 0:
            raise Refused(f"the command ended with {found.describe_exit().removeprefix('exit ')}{_quote(found.errors)}")
        try:
            return clean_caption(found.output.decode(errors="replace"))
        except ValueError as error:
            raise Refused(f"{error}{_quote(found.errors)}") from None

    def _run(self, path: Path) -> EndedProgram:
        argv = [part.replace(FILE_PLACEHOLDER, str(path)) for part in self._argv]
        try:
            process = start(argv, self._environment, path.parent, has_separate_errors=True)
        except OSError as error:
            raise Unreachable(f"the command cannot be started: {error}"[:ERROR_BYTES]) from None
        try:
            return run_to_end(process, self._bound, MAX_ANSWER, self._check_stop)
        except PrintedTooMuch:
            raise Refused("the command's output is too long") from None
        except TookTooLong:
            raise Unreachable(f"the command took longer than {self._bound:.0f} s") from None

    def _check_stop(self) -> None:
        if self._is_stopping():
            raise StopRequested


def _quote(errors: bytes) -> str:
    text = " ".join(errors.decode(errors="replace").split())
    return f": {text}" if text else ""
