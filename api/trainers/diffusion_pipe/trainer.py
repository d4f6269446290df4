"""The trainer `tdrussell/diffusion-pipe`: implements the trainer interface."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from api.domain.cause import Cause
from api.domain.media import Recipe
from api.domain.rehearsal import PlannedRehearsal
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Finding
from api.trainers.diffusion_pipe import checkpoint_adapter
from api.trainers.diffusion_pipe.checking import RequestProcessor
from api.trainers.diffusion_pipe.checkout import TORCH_FILE
from api.trainers.diffusion_pipe.installation.check import InstallationCheck
from api.trainers.diffusion_pipe.installation.problems import find_missing
from api.trainers.diffusion_pipe.model_check import suggest_type
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.rehearsal import one_step
from api.trainers.diffusion_pipe.trainer_code import TrainerCode
from api.trainers.media import Examiner
from api.trainers.protocol.run import RunProtocol
from api.trainers.rehearsal import Rehearsal
from api.trainers.trainer import CacheFacts, Check, Command, DatasetFile, DatasetPreview, DatasetSetup, Ending, Launch


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
        self.installation: InstallationCheck | None = None  #: what is known about the environment; None: nothing
        self.locate(root, python)
        self._budget_seconds = budget_seconds
        self._allow_pickled_weights = allow_pickled_weights

    def locate(self, root: Path | None, python: str | None) -> None:
        """Use this checkout and interpreter from now on."""
        self._root = root.absolute() if root is not None else None
        self._python = python
        self.__dict__.pop("_processor", None)

    def problems(self) -> tuple[Finding, ...]:
        """Return the problems of the trainer's installation."""
        missing = find_missing(self._root, self._python)
        return missing if missing or self.installation is None else self.installation.findings()

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

    def export_options(self, plan: TrainingPlan) -> Mapping[str, Any]:
        """Return how to make a saved model of a checkpoint. Raise ExportUnsupported."""
        return checkpoint_adapter.export_options(plan)

    def one_step(self, request: TrainingRequest, step: int) -> TrainingRequest:
        """Return the request of a training that saves a model at this step, and ends. Raise ExportUnsupported."""
        return one_step(request, step)

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """Check all that can be checked without starting anything; `check_env` checks `env`."""
        problems, warnings = find_missing(self._root, self._python), tuple[Finding, ...]()
        if not problems and self.installation is not None:
            problems, warnings = self.installation.findings_for(request.model_type)
        code = None if self.installation is None else self.installation.code
        found = self._processor.check(request, output_dir, problems, code)
        return replace(found, warnings=(*warnings, *found.warnings))

    def check_dataset(self, question: DatasetSetup, files: Sequence[DatasetFile]) -> DatasetPreview:
        """Return how the trainer will use these files."""
        return self._processor.check_dataset(question, files)

    def recipes(self, question: DatasetSetup, file: DatasetFile) -> tuple[Recipe, ...]:
        """Return the conversions of a file to training pixels, one per resolution. Raise Invalid."""
        return self._processor.recipes(question, file)

    def diagnose(self, ending: Ending) -> Cause:
        """Return the cause of a failed attempt. The remedy for an unknown model type lists those of the checkout."""
        found = super().diagnose(ending)
        if found.remedy_code is None or found.remedy_code.code != "hint_unknown_model_type":
            return found
        name = str(found.remedy_code.params["what"])
        if name in MODELS:
            return found
        code = None if self.installation is None else self.installation.code
        remedy = suggest_type(name, code or TrainerCode())
        return replace(found, remedy=remedy.text, remedy_code=remedy.said)

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

    def rehearse(self, request: TrainingRequest, planned: PlannedRehearsal, directory: Path) -> Rehearsal:
        """Return the request for the planned items, which lie in this directory. Raise ValueError."""
        return self._processor.rehearse(request, planned, directory)

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """Return the command and files of one attempt. Raise ValueError for a request that has not been checked."""
        built = self._processor.prepare(request, launch)
        torch = None if self.installation is None else self.installation.last.torch
        return built if torch is None else replace(built, files={**built.files, TORCH_FILE: torch})
