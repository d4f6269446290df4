"""Render with the administrator's command, without a shell: `COMMAND… REQUEST.json DIRECTORY`.

The file has the fields of `CommandSampler._describe`. The program writes one picture or clip into the directory. It
prints `keys_missing=3` if it could not load that many keys of the LoRA, and what it prints otherwise is ignored. An
exit code other than 0 is a failure, whose reason are the last lines of its standard error; 75 (EX_TEMPFAIL) means that
it may succeed later.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from api.executors.bounded_program import EndedProgram, PrintedTooMuch, TookTooLong, run_to_end, start
from api.jobs.errors import stop_if
from api.jobs.sampling.comfyui import ENDINGS
from api.jobs.sampling.request import SamplingRequest
from api.jobs.sampling.sampler import Rendered, SamplerProblem, SamplerUnavailable, Shot

_MOST_OUTPUT, _MOST_PICTURE = 2**20, 256 * 2**20
_TRY_LATER = 75
_MISSING = re.compile(rb"^keys_missing=(\d{1,6})\s*$", re.MULTILINE)


class CommandSampler:
    """Runs a program for each picture or clip."""

    server: str = "command"
    version: str | None = None
    workflow_hash: str | None = None

    def __init__(
        self,
        command: Sequence[str],
        request: SamplingRequest,
        work: Path,
        environment: Mapping[str, str],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Create the sampler. Its files are temporary, below `work`."""
        self._command = tuple(command)
        self._request = request
        self._work = work
        self._environment = environment
        self._is_stopping = is_stopping
        self._loras: dict[str, Path] = {}

    def prepare(self) -> None:
        """Raise SamplerProblem if there is no such program."""
        if not os.access(self._command[0], os.X_OK):
            raise SamplerProblem(f"SAMPLE_COMMAND {self._command[0]} cannot be executed: correct its path or rights.")

    def add_lora(self, path: Path, name: str) -> None:
        """Remember the file."""
        self._loras[name] = path

    def remove_lora(self, name: str) -> None:
        """Forget the file."""
        self._loras.pop(name, None)

    def render(self, shot: Shot) -> Rendered:
        """Run the program. Raise SamplerProblem, SamplerUnavailable or StopRequested."""
        with tempfile.TemporaryDirectory(dir=self._work, prefix=".command-") as name:
            pictures = Path(name) / "pictures"
            pictures.mkdir()
            described = Path(name) / "request.json"
            described.write_text(json.dumps(self._describe(shot)))
            ended = self._run([*self._command, str(described), str(pictures)], Path(name))
            if ended.exit_code != 0:
                reason = " ".join(ended.errors.decode(errors="replace").split())[-400:]
                kind = SamplerUnavailable if ended.exit_code == _TRY_LATER else SamplerProblem
                raise kind(f"SAMPLE_COMMAND failed ({ended.describe_exit()}): {reason or 'it gives no reason'}")
            missing = _MISSING.search(ended.output)
            return Rendered(*_read(pictures), None if missing is None else int(missing[1]))

    def _describe(self, shot: Shot) -> dict[str, Any]:
        return {
            "model_type": self._request.model_type,
            "base": self._request.base,
            "lora": str(self._loras[shot.lora]),
            "strength": shot.strength,
            "prompt": shot.prompt,
            "negative": shot.negative,
            "seed": shot.seed,
            "width": shot.width,
            "height": shot.height,
            "frames": shot.frames,
            "steps": shot.steps,
        }

    def _run(self, argv: Sequence[str], directory: Path) -> EndedProgram:
        try:
            process = start(argv, self._environment, directory, has_separate_errors=True)
        except OSError as error:
            raise SamplerProblem(f"SAMPLE_COMMAND cannot be started: {error.strerror}.") from None
        try:
            return run_to_end(process, self._request.most_seconds, _MOST_OUTPUT, partial(stop_if, self._is_stopping))
        except PrintedTooMuch:
            raise SamplerProblem("SAMPLE_COMMAND prints too much.") from None
        except TookTooLong:
            raise SamplerProblem(
                f"SAMPLE_COMMAND took longer than {self._request.most_seconds:.0f} s for one sample (SAMPLE_SECONDS)."
            ) from None


def _read(pictures: Path) -> tuple[bytes, str]:
    """Return the one picture or clip of a directory, and its ending. Raise SamplerProblem."""
    files = [path for path in sorted(pictures.iterdir()) if path.suffix.lower() in ENDINGS and path.is_file()]
    if len(files) != 1:
        raise SamplerProblem(f"SAMPLE_COMMAND wrote {len(files)} pictures instead of one ({', '.join(ENDINGS)}).")
    if files[0].stat().st_size > _MOST_PICTURE:
        raise SamplerProblem("The picture of SAMPLE_COMMAND is too large.")
    return files[0].read_bytes(), files[0].suffix.lower()
