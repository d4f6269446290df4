"""Goes over a whole request with every check, plans it, and makes what an attempt is started with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from api.domain.media import Recipe
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Mistake
from api.trainers.diffusion_pipe import command, files, plan
from api.trainers.diffusion_pipe.adapter_check import check_adapter
from api.trainers.diffusion_pipe.batches import Batches, read_batches
from api.trainers.diffusion_pipe.cache_facts import gather_facts
from api.trainers.diffusion_pipe.checkout import COMMIT_FILE, read_commit
from api.trainers.diffusion_pipe.config_check import check_config, check_flux2_stages, check_parallelism
from api.trainers.diffusion_pipe.dataset_check import DatasetCircumstances, KnownDataset, check_dataset
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.eval_check import Evaluations, check_eval_datasets, list_files
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_check import Variant, check_model, find_variant, read_type
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.optimizer_check import check_optimizer
from api.trainers.diffusion_pipe.outlook import foresee
from api.trainers.diffusion_pipe.recipes import list_recipes
from api.trainers.diffusion_pipe.request import Configuration, read
from api.trainers.diffusion_pipe.silent_check import check_silent, check_warmup
from api.trainers.diffusion_pipe.weights_check import check_files
from api.trainers.media import REASONING_SECONDS, Budget, Examiner, Looks, TooLong
from api.trainers.trainer import CacheFacts, Check, Command, DatasetOutlook, DatasetQuestion, Launch, SeenFile

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


class RequestWork:
    """What is done with requests for one installation of the trainer; it starts nothing."""

    def __init__(
        self,
        name: str,
        root: Path | None,
        python: str | None,
        budget_seconds: float,
        *,
        accepts_risks: bool,
        examiner: Examiner | None = None,
    ) -> None:
        """`name` is the trainer's; the others are as `DiffusionPipe` has them."""
        self._name = name
        self._root = root
        self._python = python
        self._budget_seconds = budget_seconds
        self._accepts_risks = accepts_risks
        self._looks = Looks(examiner=examiner)

    def check(self, request: TrainingRequest, output_dir: Path, problems: Sequence[Mistake]) -> Check:
        """Checks all that can be checked without starting anything. `problems` are those of the installation."""
        findings = Findings(accepts_risks=self._accepts_risks)
        for problem in problems:
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

    def list_dataset_files(self, request: TrainingRequest) -> Sequence[tuple[str, str]]:
        """The datasets of evaluation, each in a file of its own: a pointer to each, and its path."""
        config = read(request, Findings()).config
        return [] if config is None else list_files(config)

    def cache_facts(self, request: TrainingRequest) -> CacheFacts:
        """What the cache of this request depends on."""
        try:
            config, dataset = files.read_again(request)
        except ValueError:
            return CacheFacts(problem="its configuration cannot be read")
        return gather_facts(config, dataset, self._root)

    def prepare(self, request: TrainingRequest, launch: Launch) -> Command:
        """The command and the files of one attempt of a request that was checked. Raises ValueError when it was not."""
        config, dataset = files.read_again(request)
        written = files.write_files(request, config, dataset, launch.output_dir.absolute(), launch.directory.absolute())
        if written is None or self._root is None or self._python is None:
            raise ValueError("This request cannot be prepared; check it first.")
        built = command.build(self._python, self._root, request, launch, written)
        commit = read_commit(self._root)
        return built if commit is None else replace(built, files={**built.files, COMMIT_FILE: commit})

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
            trainer=self._name,
            root=self._root,
        )
        check_warmup(config, made.total_steps, findings)
        return made


def _planned_gpus(request: TrainingRequest) -> tuple[int, ...]:
    references = request.gpus.references
    indices = tuple(reference for reference in references if isinstance(reference, int))
    return indices if references and len(indices) == len(references) else tuple(range(request.gpu_count))
