"""Runs all checks on a request, makes its plan, and prepares its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from api.domain.media import Recipe
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Finding
from api.trainers.diffusion_pipe import command, files, plan
from api.trainers.diffusion_pipe.adapter_check import check_adapter
from api.trainers.diffusion_pipe.batches import Batches, read_batches
from api.trainers.diffusion_pipe.cache_facts import gather_facts
from api.trainers.diffusion_pipe.checkout import COMMIT_FILE, read_commit
from api.trainers.diffusion_pipe.config_check import check_config, check_flux2_stages, check_parallelism
from api.trainers.diffusion_pipe.dataset_check import DatasetContext, DatasetSummary, check_dataset
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.eval_check import Evaluations, check_eval_datasets, list_files
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_check import Variant, check_model, find_variant, read_type
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.optimizer_check import check_optimizer
from api.trainers.diffusion_pipe.preview import preview_dataset
from api.trainers.diffusion_pipe.recipes import list_recipes
from api.trainers.diffusion_pipe.request import Configuration, read
from api.trainers.diffusion_pipe.silent_check import check_silent, check_warmup
from api.trainers.diffusion_pipe.weights_check import check_files
from api.trainers.media import REASONING_SECONDS, Budget, Examiner, MediaInfoCache, TooLong
from api.trainers.trainer import CacheFacts, Check, Command, DatasetFile, DatasetPreview, DatasetSetup, Launch

#: The port in a plan's command, DeepSpeed's default; the real one is chosen at the start.
_PLANNED_PORT = 29500


@dataclass(slots=True)
class _CheckResults:
    """The intermediate results of the checks."""

    model_type: str | None
    variant: Variant | None
    training: Batches
    evaluation: Batches
    summary: DatasetSummary
    evaluations: Evaluations


class RequestProcessor:
    """Checks, plans and prepares requests for one installation of the trainer; starts nothing."""

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
        """`name` is the trainer's name; see `DiffusionPipe` for the others."""
        self._name = name
        self._root = root
        self._python = python
        self._budget_seconds = budget_seconds
        self._accepts_risks = accepts_risks
        self._media_cache = MediaInfoCache(examiner=examiner)

    def check(self, request: TrainingRequest, output_dir: Path, problems: Sequence[Finding]) -> Check:
        """Check all that can be checked without starting anything. `problems` are those of the installation."""
        findings = Findings(accepts_risks=self._accepts_risks)
        for problem in problems:
            findings.error(problem.pointer, problem.message, problem.remedy)
        made = None
        try:
            given = read(request, findings)
            results = self._check_documents(request, given, findings)
            if not findings.errors:
                made = self._plan(request, given, results, output_dir.absolute(), findings)
        except TooLong:
            findings.error(
                "",
                f"The check took longer than {self._budget_seconds + REASONING_SECONDS:g} s and was cancelled.",
                "Use fewer directories, sizes or files.",
            )
        return Check(
            errors=findings.errors,
            warnings=findings.warnings,
            plan=made,
            secrets=files.find_secrets(request),
        )

    def check_dataset(self, question: DatasetSetup, files: Sequence[DatasetFile]) -> DatasetPreview:
        """Return how the trainer will use these files."""
        return preview_dataset(question, files, self._root)

    def recipes(self, question: DatasetSetup, file: DatasetFile) -> tuple[Recipe, ...]:
        """Return the conversions of a file to training pixels, one per resolution. Raise Invalid."""
        return list_recipes(question, file, self._root)

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """Return the request with `***` in place of each secret; it can still be checked and prepared."""
        return files.without_secrets(request)

    def list_dataset_files(self, request: TrainingRequest) -> Sequence[tuple[str, str]]:
        """Return the dataset files of evaluations, each as a pointer and a path."""
        config = read(request, Findings()).config
        return [] if config is None else list_files(config)

    def cache_facts(self, request: TrainingRequest) -> CacheFacts:
        """Return the values that the cache of this request depends on."""
        try:
            config, dataset = files.read_checked(request)
        except ValueError:
            return CacheFacts(problem="the configuration of the request cannot be read")
        return gather_facts(config, dataset, self._root)

    def prepare(self, request: TrainingRequest, launch: Launch) -> Command:
        """Return the command and files of one attempt. Raise ValueError for a request that has not been checked."""
        config, dataset = files.read_checked(request)
        written = files.write_files(request, config, dataset, launch.output_dir.absolute(), launch.directory.absolute())
        if written is None or self._root is None or self._python is None:
            raise ValueError("This request cannot be prepared; check it first.")
        built = command.build(self._python, self._root, request, launch, written)
        commit = read_commit(self._root)
        return built if commit is None else replace(built, files={**built.files, COMMIT_FILE: commit})

    def _check_documents(self, request: TrainingRequest, given: Configuration, findings: Findings) -> _CheckResults:
        config = given.config
        model_type = read_type(config, request.model_type, findings)
        variant = find_variant(config, model_type, self._root) if model_type is not None else None
        training, evaluation = read_batches(config or TrainerDocument({}, ""), request.gpu_count, findings)
        results = _CheckResults(model_type, variant, training, evaluation, DatasetSummary(), Evaluations())
        if config is not None:
            self._check_config(config, request, results, findings)
        context = DatasetContext(variant, training, self._root, self._media_cache, Budget(self._budget_seconds))
        if given.dataset is not None:
            results.summary = check_dataset(given.dataset, context, findings)
        if config is not None:
            context = DatasetContext(variant, evaluation, self._root, self._media_cache, context.budget)
            results.evaluations = check_eval_datasets(config, context, findings)
        return results

    def _check_config(
        self, config: TrainerDocument, request: TrainingRequest, results: _CheckResults, findings: Findings
    ) -> None:
        facts = MODELS[results.model_type] if results.model_type is not None else None
        check_config(config, results.training, findings)
        check_parallelism(config, request.gpu_count, facts, findings)
        check_flux2_stages(config, results.model_type, self._root, findings)
        if results.model_type is not None:
            check_model(config, results.model_type, self._root, findings)
            check_files(config, results.model_type, self._root, findings)
        check_adapter(config, results.model_type or "This model", facts, self._root, findings)
        check_optimizer(config, results.model_type, findings)
        check_silent(config, results.model_type, request, findings)

    def _plan(
        self,
        request: TrainingRequest,
        given: Configuration,
        results: _CheckResults,
        output_dir: Path,
        findings: Findings,
    ) -> TrainingPlan | None:
        config, dataset, variant = given.config, given.dataset, results.variant
        if config is None or dataset is None or variant is None or self._root is None or self._python is None:
            return None
        # The number of the attempt, its GPUs and its port are only known at the start.
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
                "The service cannot add its own keys (output_dir, dataset) into this configuration.",
                "Simplify the configuration, and write each table only once.",
            )
            return None
        started = command.build(self._python, self._root, request, launch, written)
        made = plan.build(
            request,
            config,
            variant,
            results.training,
            results.summary,
            results.evaluations,
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
