"""The trainer `tdrussell/diffusion-pipe`: implements the trainer interface."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from api.domain.media import Recipe
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Finding
from api.trainers.diffusion_pipe.checking import RequestProcessor
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.media import Examiner
from api.trainers.protocol.run import RunProtocol
from api.trainers.trainer import CacheFacts, Check, Command, DatasetFile, DatasetPreview, DatasetSetup, Launch

_NO_CHECKOUT = Finding(
    "/model_type",
    "The trainer diffusion-pipe is not set up on this machine.",
    "Set DIFFUSION_PIPE_ROOT to its checkout, the directory with train.py.",
    "trainer_not_found",
)
_NO_INTERPRETER = Finding(
    "/model_type",
    "The Python interpreter of the trainer diffusion-pipe is not configured.",
    "Set DIFFUSION_PIPE_PYTHON to the interpreter of its environment, such as /path/to/venv/bin/python.",
    "interpreter_not_found",
)


class DiffusionPipe(RunProtocol):
    """Checks and plans requests, and starts nothing. `root` is the trainer's checkout, `python` its interpreter."""

    name = "diffusion_pipe"
    model_types = frozenset(MODELS)

    def __init__(
        self,
        root: Path | None,
        python: str | None,
        budget_seconds: float = 3.0,
        *,
        allow_pickled_weights: bool = False,
        examiner: Examiner | None = None,
    ) -> None:
        """`budget_seconds` limits how long one check reads dataset files. Without `examiner` it reads only headers."""
        self.examiner = examiner  #: may be set until the first request
        self._root = root.absolute() if root is not None else None
        self._python = python
        self._budget_seconds = budget_seconds
        self._allow_pickled_weights = allow_pickled_weights

    def problems(self) -> tuple[Finding, ...]:
        """Return the problems of the trainer's installation."""
        found = []
        if self._root is None or not _is_file(self._root / "train.py"):
            found.append(_NO_CHECKOUT)
        if self._python is None or not _is_executable(self._python):
            found.append(_NO_INTERPRETER)
        return tuple(found)

    @cached_property
    def _processor(self) -> RequestProcessor:
        return RequestProcessor(
            self.name,
            self._root,
            self._python,
            self._budget_seconds,
            accepts_risks=self._allow_pickled_weights,
            examiner=self.examiner,
        )

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """Check all that can be checked without starting anything; `check_env` checks `env`."""
        return self._processor.check(request, output_dir, self.problems())

    def check_dataset(self, question: DatasetSetup, files: Sequence[DatasetFile]) -> DatasetPreview:
        """Return how the trainer will use these files."""
        return self._processor.check_dataset(question, files)

    def recipes(self, question: DatasetSetup, file: DatasetFile) -> tuple[Recipe, ...]:
        """Return the conversions of a file to training pixels, one per resolution. Raise Invalid."""
        return self._processor.recipes(question, file)

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """Return the request with `***` in place of each secret; it can still be checked and prepared."""
        return self._processor.without_secrets(request)

    def working_directory(self, attempt: Path) -> Path | None:
        """Return the trainer's checkout, in which every attempt runs."""
        return self._root

    def list_dataset_files(self, request: TrainingRequest) -> Sequence[tuple[str, str]]:
        """Return the dataset files of evaluations, each as a pointer and a path."""
        return self._processor.list_dataset_files(request)

    def cache_facts(self, request: TrainingRequest) -> CacheFacts:
        """Return the values that the cache of this request depends on."""
        return self._processor.cache_facts(request)

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """Return the command and files of one attempt. Raise ValueError for a request that has not been checked."""
        return self._processor.prepare(request, launch)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_executable(python: str) -> bool:
    try:
        return os.path.isfile(python) and os.access(python, os.X_OK)
    except ValueError:
        return False
