"""The trainer `tdrussell/diffusion-pipe`: checks and plans requests, and prepares their attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from api.domain.datasets.media import Recipe
from api.domain.reason import Reason
from api.domain.tasks.cause import Cause
from api.domain.tasks.measured_memory import PlannedMemory
from api.domain.tasks.rehearsal import PlannedRehearsal
from api.domain.tasks.training import TrainingPlan, TrainingRequest
from api.errors import Finding, FindingText
from api.trainers.diffusion_pipe.checks.adapter_check import check_adapter
from api.trainers.diffusion_pipe.checks.config_check import (
    check_clip_mode,
    check_config,
    check_flux2_stages,
    check_parallelism,
)
from api.trainers.diffusion_pipe.checks.dataset_check import DatasetContext, DatasetSummary, check_dataset
from api.trainers.diffusion_pipe.checks.eval_check import Evaluations, check_eval_datasets, list_files
from api.trainers.diffusion_pipe.checks.model_check import Variant, check_model, find_variant, read_type, suggest_type
from api.trainers.diffusion_pipe.checks.optimizer_check import check_optimizer
from api.trainers.diffusion_pipe.checks.silent_check import check_schedule, check_silent, check_sizes
from api.trainers.diffusion_pipe.checks.weights_check import check_files
from api.trainers.diffusion_pipe.config import config_files
from api.trainers.diffusion_pipe.config.checkout import COMMIT_FILE, TORCH_FILE, read_commit
from api.trainers.diffusion_pipe.config.document import TrainerDocument, number
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.optimizer_classes import find_classes
from api.trainers.diffusion_pipe.config.request import Configuration, read
from api.trainers.diffusion_pipe.config.trainer_code import TrainerCode
from api.trainers.diffusion_pipe.dataset.batches import Batches, read_batches
from api.trainers.diffusion_pipe.installation.check import InstallationCheck
from api.trainers.diffusion_pipe.installation.problems import find_missing
from api.trainers.diffusion_pipe.memory_facts import count_blocks, read_memory_facts
from api.trainers.diffusion_pipe.models import checkpoint_adapter
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.diffusion_pipe.plan.cache_facts import gather_facts
from api.trainers.diffusion_pipe.plan.plan import build as build_plan
from api.trainers.diffusion_pipe.plan.plan import build_command
from api.trainers.diffusion_pipe.plan.preview import list_recipes, preview_dataset
from api.trainers.diffusion_pipe.plan.rehearsal import choose_items, one_step, plan_rehearsal, rehearse
from api.trainers.media import REASONING_SECONDS, Budget, Examiner, MediaInfoCache, TooLong
from api.trainers.protocol_trainer import RunProtocol
from api.trainers.trainer import (
    CacheFacts,
    Check,
    Command,
    DatasetFile,
    DatasetPreview,
    DatasetSetup,
    Ending,
    Launch,
    Rehearsal,
)

_CHECKPOINT_MINUTES = "checkpoint_every_n_minutes"

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

    def problems(self) -> tuple[Finding, ...]:
        """Return the problems of the trainer's installation."""
        missing = find_missing(self._root, self._python)
        return missing if missing or self.installation is None else self.installation.findings()

    @cached_property
    def _media_cache(self) -> MediaInfoCache:
        return MediaInfoCache(examiner=self.examiner)

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
        findings = Findings(accepts_risks=self._allow_pickled_weights, code=code)
        for problem in problems:
            findings.add_error(problem)
        made = None
        try:
            given = read(request, findings)
            results = self._check_documents(request, given, findings)
            made = self._plan(request, given, results, output_dir.absolute(), findings)
            if made is not None and request.rehearsal and not findings.errors:
                minutes = None if given.config is None else number(given.config.values.get(_CHECKPOINT_MINUTES))
                made = self._plan_rehearsal(request, made, results, output_dir.absolute(), findings, minutes)
        except TooLong:
            findings.error(
                "",
                FindingText(
                    "check_too_long",
                    "The check took longer than {seconds} s and was cancelled.",
                    "Use fewer directories, sizes or files.",
                ),
                seconds=f"{self._budget_seconds + REASONING_SECONDS:g}",
            )
        return Check(
            errors=findings.errors,
            warnings=(*warnings, *findings.warnings),
            plan=made,
            secrets=config_files.find_secrets(request),
        )

    def check_dataset(self, question: DatasetSetup, files: Sequence[DatasetFile]) -> DatasetPreview:
        """Return how the trainer will use these files."""
        return preview_dataset(question, files, self._root)

    def recipes(self, question: DatasetSetup, file: DatasetFile) -> tuple[Recipe, ...]:
        """Return the conversions of a file to training pixels, one per resolution. Raise Invalid."""
        return list_recipes(question, file, self._root)

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
        return config_files.without_secrets(request)

    def working_directory(self, attempt: Path) -> Path | None:
        """Return the trainer's checkout, in which every attempt runs."""
        return self._root

    def list_dataset_files(self, request: TrainingRequest) -> Sequence[tuple[str, str]]:
        """Return the dataset files of evaluations, each as a pointer and a path."""
        config = read(request, Findings()).config
        return [] if config is None else list_files(config)

    def cache_facts(self, request: TrainingRequest) -> CacheFacts:
        """Return the values that the cache of this request depends on."""
        try:
            config, dataset = config_files.read_checked(request)
        except ValueError:
            return CacheFacts(
                problem=Reason.of("the configuration of the request cannot be read", "cache_request_unreadable")
            )
        return gather_facts(config, dataset, self._root)

    def rehearse(self, request: TrainingRequest, planned: PlannedRehearsal, directory: Path) -> Rehearsal:
        """Return the request for the planned items, which lie in this directory. Raise ValueError."""
        return rehearse(request, planned, directory, self._root)

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """Return the command and files of one attempt. Raise ValueError for a request that has not been checked."""
        config, dataset = config_files.read_checked(request)
        written = config_files.write_files(
            request, config, dataset, launch.output_dir.absolute(), launch.directory.absolute()
        )
        if written is None or self._root is None or self._python is None:
            raise ValueError("This request cannot be prepared; check it first.")
        built = build_command(self._python, self._root, request, launch, written)
        commit = read_commit(self._root)
        torch = None if self.installation is None else self.installation.last.torch
        noted = {name: text for name, text in ((COMMIT_FILE, commit), (TORCH_FILE, torch)) if text is not None}
        return replace(built, files={**built.files, **noted}) if noted else built

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
                check_sizes(config, results.summary.buckets, findings)
        if config is not None:
            context = DatasetContext(variant, evaluation, self._root, self._media_cache, context.budget)
            results.evaluations = check_eval_datasets(
                config, context, findings, given.dataset, results.summary.whole_shares
            )
            has_videos = results.summary.has_videos or results.evaluations.has_videos
            check_clip_mode(config, MODELS[model_type] if model_type is not None else None, has_videos, findings)
        return results

    def _check_config(
        self, config: TrainerDocument, request: TrainingRequest, results: _CheckResults, findings: Findings
    ) -> None:
        facts = MODELS[results.model_type] if results.model_type is not None else None
        check_config(config, results.training, findings)
        blocks = 0 if results.model_type is None else count_blocks(config, results.model_type, self._root)
        check_parallelism(config, request.gpu_count, facts, findings, blocks)
        check_flux2_stages(config, results.model_type, self._root, findings)
        if results.model_type is not None:
            check_model(config, results.model_type, self._root, findings)
            check_files(config, results.model_type, self._root, findings)
        check_adapter(config, results.model_type or "This model", facts, self._root, findings)
        check_optimizer(config, results.model_type, findings, find_classes(self._python))
        check_silent(config, results.model_type, request, findings)

    def _plan(
        self,
        request: TrainingRequest,
        given: Configuration,
        results: _CheckResults,
        output_dir: Path,
        findings: Findings,
    ) -> TrainingPlan | None:
        """Return the plan as far as it is known. With errors it has no files and no command."""
        config, dataset, variant = given.config, given.dataset, results.variant
        if config is None or dataset is None or variant is None:
            return None
        started = None if findings.errors else self._start(request, config, dataset, output_dir, findings)
        if started is None and not findings.errors:
            return None
        made = build_plan(
            request,
            config,
            variant,
            results.training,
            results.summary,
            results.evaluations,
            files={} if started is None else started.files,
            command=() if started is None else started.argv,
            trainer=self.name,
            root=self._root,
        )
        check_schedule(config, made.steps_per_epoch, made.total_steps, findings)
        return made

    def _plan_rehearsal(
        self,
        request: TrainingRequest,
        whole: TrainingPlan,
        results: _CheckResults,
        output_dir: Path,
        findings: Findings,
        checkpoint_minutes: float | None,
    ) -> TrainingPlan:
        """Return the plan of a rehearsal, or that of the whole training with a finding about the reason."""
        chosen = choose_items(results.summary.shares, results.training)
        if chosen is None:
            findings.error(
                "/dataset",
                FindingText(
                    "nothing_to_rehearse",
                    "None of its files could be examined, so there is nothing to rehearse with.",
                    "Start the training without a rehearsal. Files in .tar archives are not examined.",
                ),
            )
            return whole
        made = plan_rehearsal(whole, chosen, request.keep_last_checkpoints, checkpoint_minutes)
        planned = made.rehearsal or PlannedRehearsal()
        derived = self.rehearse(request, planned, output_dir.parent / "datasets").request
        given = read(derived, Findings())
        if given.config is None or given.dataset is None:
            findings.error(
                "",
                FindingText(
                    "rehearsal_not_derivable", "This configuration cannot be changed for a rehearsal.", "Simplify it."
                ),
            )
            return whole
        started = self._start(derived, given.config, given.dataset, output_dir, findings)
        sizes, gpu_count = chosen.buckets, request.gpu_count
        facts = read_memory_facts(given.config, whole.model_type, sizes, results.training, gpu_count, self._root)
        return replace(
            made,
            files={} if started is None else started.files,
            command=() if started is None else started.argv,
            memory=PlannedMemory(facts),
        )

    def _start(
        self,
        request: TrainingRequest,
        config: TrainerDocument,
        dataset: TrainerDocument,
        output_dir: Path,
        findings: Findings,
    ) -> Command | None:
        """Return a preview of the command of the first attempt, or None if it cannot be made."""
        if self._root is None or self._python is None:
            return None
        # The number of the attempt, its GPUs and its port are only known at the start.
        launch = Launch(
            directory=output_dir.parent / "attempts" / "1",
            output_dir=output_dir,
            gpu_indices=_planned_gpus(request),
            master_port=_PLANNED_PORT,
        )
        written = config_files.write_files(request, config, dataset, output_dir, launch.directory)
        if written is None:
            findings.error(
                config.base,
                FindingText(
                    "keys_not_addable",
                    "The service cannot add its own keys (output_dir, dataset) into this configuration.",
                    "Simplify the configuration, and write each table only once.",
                ),
            )
            return None
        return replace(build_command(self._python, self._root, request, launch, written), files=written)


def _planned_gpus(request: TrainingRequest) -> tuple[int, ...]:
    references = request.gpus.references
    indices = tuple(reference for reference in references if isinstance(reference, int))
    return indices if references and len(indices) == len(references) else tuple(range(request.gpu_count))
