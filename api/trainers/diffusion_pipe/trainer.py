"""The trainer `tdrussell/diffusion-pipe` behind the seam: checks a request, plans it, and says how it is started."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from api.errors import Mistake
from api.models.media import Recipe
from api.models.training import TrainingPlan, TrainingRequest
from api.trainers.diffusion_pipe import command, files, plan
from api.trainers.diffusion_pipe.adapter_check import check_adapter
from api.trainers.diffusion_pipe.batches import Batches, read_batches
from api.trainers.diffusion_pipe.config_check import check_config, check_flux2_stages, check_parallelism
from api.trainers.diffusion_pipe.dataset_check import DatasetCircumstances, KnownDataset, check_dataset
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.eval_check import Evaluations, check_eval_datasets
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.media import REASONING_SECONDS, Budget, Looks, TooLong
from api.trainers.diffusion_pipe.model_check import Variant, check_model, find_variant, read_type
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.optimizer_check import check_optimizer
from api.trainers.diffusion_pipe.outlook import foresee
from api.trainers.diffusion_pipe.recipes import list_recipes
from api.trainers.diffusion_pipe.request import Configuration, read
from api.trainers.diffusion_pipe.silent_check import check_silent, check_warmup
from api.trainers.diffusion_pipe.weights_check import check_files
from api.trainers.protocol.run import RunProtocol
from api.trainers.trainer import Check, Command, DatasetOutlook, DatasetQuestion, Launch, SeenFile

#: The port in a plan's command, where the real one is known only at the start: DeepSpeed's default.
_PLANNED_PORT = 29500


@dataclass(slots=True)
class _Known:
    """What the checks have found out so far."""

    model_type: str | None
    variant: Variant | None
    training: Batches
    evaluation: Batches
    outcome: KnownDataset
    evaluations: Evaluations


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
    ) -> None:
        """`budget_seconds` bounds how long one check looks into the files of datasets."""
        self._root = root.absolute() if root is not None else None
        self._python = python
        self._budget_seconds = budget_seconds
        self._allow_pickled_weights = allow_pickled_weights
        self._looks = Looks()

    def problems(self) -> tuple[Mistake, ...]:
        """What is missing of the trainer's installation, each with what to do."""
        found = []
        if self._root is None or not _is_file(self._root / "train.py"):
            found.append(_NO_CHECKOUT)
        if self._python is None or not _is_executable(self._python):
            found.append(_NO_INTERPRETER)
        return tuple(found)

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """Checks all that can be checked without starting anything; `env` is left to `check_env`."""
        findings = Findings(accepts_risks=self._allow_pickled_weights)
        for problem in self.problems():
            findings.error(problem.pointer, problem.message, problem.remedy)
        made = None
        try:
            given = read(request, findings)
            known = self._check_documents(request, given, findings)
            if not findings.errors:
                made = self._plan(request, given, known, output_dir.absolute(), findings)
        except TooLong:
            findings.error(
                "",
                f"The check took longer than {self._budget_seconds + REASONING_SECONDS:g} s and was given up.",
                "Name fewer directories, sizes or files.",
            )
        return Check(
            errors=findings.errors,
            warnings=findings.warnings,
            plan=made,
            secrets=files.find_secrets(request),
        )

    def check_dataset(self, question: DatasetQuestion, files: Sequence[SeenFile]) -> DatasetOutlook:
        """What the trainer will make of these files."""
        return foresee(question, files, self._root)

    def recipes(self, question: DatasetQuestion, file: SeenFile) -> tuple[Recipe, ...]:
        """How it makes the pixels of a file, once a resolution. Raises Invalid."""
        return list_recipes(question, file, self._root)

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """The same request with *** where `check` found secrets; it can be checked and prepared again."""
        return files.without_secrets(request)

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """The command and the files of one attempt of a request that was checked. Raises ValueError when it was not."""
        config, dataset = files.read_again(request)
        written = files.write_files(request, config, dataset, launch.output_dir.absolute(), launch.directory.absolute())
        if written is None or self._root is None or self._python is None:
            raise ValueError("This request cannot be prepared; check it first.")
        return command.build(self._python, self._root, request, launch, written)

    def _check_documents(self, request: TrainingRequest, given: Configuration, findings: Findings) -> _Known:
        config = given.config
        model_type = read_type(config, request.model_type, findings)
        variant = find_variant(config, model_type, self._root) if model_type is not None else None
        training, evaluation = read_batches(config or TrainerDocument({}, ""), request.gpu_count, findings)
        known = _Known(model_type, variant, training, evaluation, KnownDataset(), Evaluations())
        if config is not None:
            self._check_config(config, request, known, findings)
        around = DatasetCircumstances(variant, training, self._root, self._looks, Budget(self._budget_seconds))
        if given.dataset is not None:
            known.outcome = check_dataset(given.dataset, around, findings)
        if config is not None:
            around = DatasetCircumstances(variant, evaluation, self._root, self._looks, around.budget)
            known.evaluations = check_eval_datasets(config, around, findings)
        return known

    def _check_config(
        self, config: TrainerDocument, request: TrainingRequest, known: _Known, findings: Findings
    ) -> None:
        facts = MODELS[known.model_type] if known.model_type is not None else None
        check_config(config, known.training, findings)
        check_parallelism(config, request.gpu_count, facts, findings)
        check_flux2_stages(config, known.model_type, self._root, findings)
        if known.model_type is not None:
            check_model(config, known.model_type, self._root, findings)
            check_files(config, known.model_type, self._root, findings)
        check_adapter(config, known.model_type or "This model", facts, self._root, findings)
        check_optimizer(config, known.model_type, findings)
        check_silent(config, known.model_type, request, findings)

    def _plan(
        self, request: TrainingRequest, given: Configuration, known: _Known, output_dir: Path, findings: Findings
    ) -> TrainingPlan | None:
        config, dataset, variant = given.config, given.dataset, known.variant
        if config is None or dataset is None or variant is None or self._root is None or self._python is None:
            return None
        # Which attempt it will be, on which GPUs, by which port, is known at the start only.
        launch = Launch(
            directory=output_dir.parent / "attempts" / "1",
            output_dir=output_dir,
            gpu_indices=_planned_gpus(request),
            master_port=_PLANNED_PORT,
        )
        written = files.write_files(request, config, dataset, output_dir, launch.directory)
        if written is None:
            findings.error(
                config.base,
                "The service cannot put its own keys (output_dir, dataset) into this configuration.",
                "Write the configuration more plainly, each table once.",
            )
            return None
        started = command.build(self._python, self._root, request, launch, written)
        made = plan.build(
            request,
            config,
            variant,
            known.training,
            known.outcome,
            known.evaluations,
            files=written,
            command=started.argv,
            trainer=self.name,
        )
        check_warmup(config, made.total_steps, findings)
        return made


def _planned_gpus(request: TrainingRequest) -> tuple[int, ...]:
    references = request.gpus.references
    indices = tuple(reference for reference in references if isinstance(reference, int))
    return indices if references and len(indices) == len(references) else tuple(range(request.gpu_count))


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
