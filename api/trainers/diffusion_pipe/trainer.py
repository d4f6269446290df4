"""The trainer `tdrussell/diffusion-pipe` behind the seam: checks a request, plans it, and says how it is started."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from api.domain.media import Recipe
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Mistake
from api.trainers.diffusion_pipe.checking import RequestWork
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.media import Examiner
from api.trainers.protocol.run import RunProtocol
from api.trainers.trainer import CacheFacts, Check, Command, DatasetOutlook, DatasetQuestion, Launch, SeenFile

_NO_CHECKOUT = Mistake(
    "/model_type",
    "The trainer diffusion-pipe is not set up on this machine.",
    "Set DIFFUSION_PIPE_ROOT to the directory of its checkout, the one that has train.py.",
    "trainer_not_found",
)
_NO_INTERPRETER = Mistake(
    "/model_type",
    "The Python interpreter of the trainer diffusion-pipe is not known.",
    "Set DIFFUSION_PIPE_PYTHON to the interpreter of its environment, …/bin/python.",
    "interpreter_not_found",
)


class DiffusionPipe(RunProtocol):
    """Checks and plans without starting anything; `root` is the trainer's checkout, `python` its interpreter."""

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
        """`budget_seconds` bounds how long one check looks into the files of datasets; without `examiner` it reads
        their headers alone.
        """
        self.examiner = examiner  #: may be set until the first request
        self._root = root.absolute() if root is not None else None
        self._python = python
        self._budget_seconds = budget_seconds
        self._allow_pickled_weights = allow_pickled_weights

    def problems(self) -> tuple[Mistake, ...]:
        """What is missing of the trainer's installation, each with what to do."""
        found = []
        if self._root is None or not _is_file(self._root / "train.py"):
            found.append(_NO_CHECKOUT)
        if self._python is None or not _is_executable(self._python):
            found.append(_NO_INTERPRETER)
        return tuple(found)

    @cached_property
    def _work(self) -> RequestWork:
        return RequestWork(
            self.name,
            self._root,
            self._python,
            self._budget_seconds,
            accepts_risks=self._allow_pickled_weights,
            examiner=self.examiner,
        )

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """Checks all that can be checked without starting anything; `env` is left to `check_env`."""
        return self._work.check(request, output_dir, self.problems())

    def check_dataset(self, question: DatasetQuestion, files: Sequence[SeenFile]) -> DatasetOutlook:
        """What the trainer will make of these files."""
        return self._work.check_dataset(question, files)

    def recipes(self, question: DatasetQuestion, file: SeenFile) -> tuple[Recipe, ...]:
        """How it makes the pixels of a file, once a resolution. Raises Invalid."""
        return self._work.recipes(question, file)

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """The same request with *** where `check` found secrets; it can be checked and prepared again."""
        return self._work.without_secrets(request)

    def working_directory(self, attempt: Path) -> Path | None:
        """The trainer's checkout, in which every attempt runs."""
        return self._root

    def list_dataset_files(self, request: TrainingRequest) -> Sequence[tuple[str, str]]:
        """The datasets of evaluation, each in a file of its own."""
        return self._work.list_dataset_files(request)

    def cache_facts(self, request: TrainingRequest) -> CacheFacts:
        """What the cache of this request depends on."""
        return self._work.cache_facts(request)

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """The command and the files of one attempt of a request that was checked. Raises ValueError when it was not."""
        return self._work.prepare(request, launch)


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
