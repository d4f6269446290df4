"""Validation of training requests: everything is checked at once before anything starts."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from api.access.readable_paths import ReadablePaths
from api.domain.access.read_scope import current_scope
from api.domain.datasets.dataset import PinnedDataset
from api.domain.datasets.dataset_cache import CacheState
from api.domain.finding import finding_of, make_finding
from api.domain.reason import Reason
from api.domain.samples.sample_set import RequestedSamples, SampleOrder
from api.domain.tasks.measured_memory import MemoryRun
from api.domain.tasks.training import TrainingPlan, TrainingRequest
from api.errors import CheckBusy, Finding, FindingText, Invalid, NotFound, SampleSetAmbiguous, ServiceError
from api.trainers.environment import check_env, split_secrets
from api.trainers.request_texts import find_userinfo, without_secret_comments
from api.trainers.trainer import SupportsRehearsal, Trainer
from api.training.capacity_check import CapacityCheck
from api.training.dataset_use import CacheQuestion, CacheUse, DatasetUse, NoCaches, NoDatasets
from api.training.measured_memory import with_measured_memory
from api.training.output.written import TrainingOutput
from api.util.http.validation import capped
from api.util.text.masking import MASK
from api.util.text.suggestions import nearest_variant


class SampleCheck(Protocol):
    """Checks the automatic samples of requests."""

    def order(self, requested: RequestedSamples) -> SampleOrder:
        """Return the prompts and settings to render. Raise NotFound."""

    def find_problem(
        self, request: TrainingRequest, order: SampleOrder, datasets: Sequence[PinnedDataset]
    ) -> Finding | None:
        """Return why a training with this request and these datasets cannot be rendered so, or None."""


class OptionsCheck:
    """Checks options, without changing anything."""

    def __init__(
        self,
        cache_roots: Sequence[Path] = (),
        channel_names: Callable[[], Collection[str]] = lambda: (),
        samples: SampleCheck | None = None,
    ) -> None:
        """Create the check.

        `channel_names` returns the names of notification channels. Without `samples`, requests for samples are
        rejected.
        """
        self._cache_roots = cache_roots
        self._channel_names = channel_names
        self._samples = samples

    def find_mistakes(self, request: TrainingRequest) -> list[Finding]:
        """Return the errors in variables and notifications."""
        return [*check_env(request.env, self._cache_roots), *self._notice_mistakes(request)]

    def _notice_mistakes(self, request: TrainingRequest) -> list[Finding]:
        if request.notify is None:
            return []
        known = sorted(self._channel_names())
        remedy = (
            Reason.of("Existing channels: {channels}.", "advice_channels", channels=", ".join(known))
            if known
            else Reason.of("There are no channels yet. An administrator can create them.", "advice_no_channels")
        )
        return [
            make_finding(
                f"/notify/channels/{index}",
                FindingText("channel_unknown", 'There is no channel "{name}".'),
                remedy=remedy,
                name=name,
            )
            for index, name in enumerate(request.notify.channels)
            if name not in known
        ]

    def check_samples(
        self, request: TrainingRequest, plan: TrainingPlan | None, present: SampleOrder | None = None
    ) -> tuple[SampleOrder | None, list[Finding]]:
        """Return the automatic samples of a request, and the errors in them.

        The version of a set that the training has at `present` keeps its prompts, whatever its name means by now.
        """
        requested = request.samples
        if requested is None or request.cache_only or request.rehearsal:
            return None, []
        if self._samples is None:
            return None, [
                make_finding("/samples", FindingText("samples_unsupported", "This service renders no samples."))
            ]
        try:
            if present is not None and present.request.sample_set == requested.sample_set:
                order = replace(present, every=requested.every, trigger=requested.trigger)
            else:
                order = self._samples.order(requested)
        except (NotFound, SampleSetAmbiguous) as problem:
            return None, [finding_of("/samples/sample_set", problem)]
        found = self._samples.find_problem(request, order, () if plan is None else plan.datasets)
        return order, [] if found is None else [found]


#: Limits on concurrent checks and on waiting ones, and the maximum wait in seconds, so that some of the 16 threads stay
#: free.
MAX_CHECKS = 4
MAX_WAITING = 8
WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request with its findings. `request` contains no secrets."""

    request: TrainingRequest
    trainer: Trainer | None
    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    plan: TrainingPlan | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: tuple[ServiceError, ...] = ()  #: reasons why this machine cannot serve a valid request
    samples: SampleOrder | None = None  #: what is rendered after saved models; None: nothing

    def require(self) -> tuple[Trainer, TrainingPlan]:
        """Return the trainer and the plan. Raise Invalid, or the machine's first problem."""
        if self.errors or self.trainer is None or self.plan is None:
            raise Invalid(mistakes=self.errors)
        for problem in self.problems:
            raise problem
        return self.trainer, self.plan


#: Returns measured memory of trainings of a model type and variant.
FindRuns = Callable[[str, str | None], Sequence[MemoryRun]]


class RequestChecker:
    """Validates requests, without changing anything."""

    def __init__(
        self,
        output: TrainingOutput,
        capacity: CapacityCheck,
        options: OptionsCheck,
        datasets: DatasetUse | None = None,
        caches: CacheUse | None = None,
        paths: ReadablePaths | None = None,
        find_runs: FindRuns = lambda model_type, variant: (),
    ) -> None:
        """Create the checker.

        `find_runs` returns measured memory of a model type and variant. Without `paths`, every path may be read.
        """
        self._output = output
        self._trainers = output.trainers
        self._capacity = capacity
        self._options = options
        self._datasets = datasets or NoDatasets()
        self._caches = caches or NoCaches()
        self._paths = paths
        self._find_runs = find_runs
        self._checking = threading.BoundedSemaphore(MAX_CHECKS)
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    @property
    def model_types(self) -> list[str]:
        """Every model type that a trainer supports."""
        return sorted({name for trainer in self._trainers.values() for name in trainer.model_types})

    def check(
        self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = (), owner: str | None = None
    ) -> CheckedRequest:
        """Return all findings, and the plan if there can be one. Raise CheckBusy.

        Dataset versions in use by the tasks in `known_by` are allowed, and caches of the owner.
        """
        with self._gate():
            found = self._check(request, task_id, known_by, owner)
        return replace(found, errors=tuple(capped(found.errors)), warnings=tuple(capped(found.warnings)))

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Limit the number of concurrent checks. Raise CheckBusy if too many are waiting."""
        if not (self._checking.acquire(blocking=False) or self._wait_for_slot()):
            raise CheckBusy(headers={"Retry-After": "1"})
        try:
            yield
        finally:
            self._checking.release()

    def _wait_for_slot(self) -> bool:
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._checking.acquire(timeout=WAIT_SECONDS)
        finally:
            self._waiting.release()

    def _check(
        self, request: TrainingRequest, task_id: str, known_by: Sequence[str], owner: str | None
    ) -> CheckedRequest:
        mistakes = [*self._options.find_mistakes(request), *self._capacity.find_mistakes(request)]
        trainer = next((t for t in self._trainers.values() if request.model_type in t.model_types), None)
        if trainer is None:
            return CheckedRequest(request, None, errors=(self._unknown_type(request.model_type), *mistakes))
        files = self._output.files(task_id)
        scope = current_scope.get()
        forbidden = self._paths.check_request(request, trainer, files.attempts / "1", scope) if self._paths else []
        if forbidden:
            # Other checks would open files that the user may not read, so they are skipped.
            return CheckedRequest(request, None, errors=(*mistakes, *forbidden))
        # Secrets must be removed first, because files and plans are written from the stored request.
        request = without_secret_comments(request)
        mistakes += find_userinfo(request)
        used = self._datasets.use(request, task_id, known_by)
        cached = self._caches.choose(CacheQuestion(request, used, trainer, task_id, owner, known_by))
        if request.rehearsal and not isinstance(trainer, SupportsRehearsal):
            mistakes.append(
                make_finding(
                    "/model_type",
                    FindingText("rehearsal_unsupported", "The trainer {trainer} supports no rehearsals."),
                    trainer=trainer.name,
                )
            )
        found = trainer.check(cached.given(used.given), files.output)
        plan = None if found.plan is None or used.mistakes else used.finish(found.plan)
        if plan is not None and plan.rehearsal is not None:
            # It has its own directories and cache, so that it neither waits for others nor makes them wait.
            is_cached = cached.cache is not None and cached.cache.state is CacheState.COMPLETE
            plan = replace(plan, rehearsal=replace(plan.rehearsal, is_cached=is_cached))
        elif plan is not None:
            plan = cached.finish(plan)
        order, unsuited = self._options.check_samples(request, plan)
        mistakes += unsuited
        public, secret = split_secrets(request.env)
        scrubbed = replace(trainer.without_secrets(used.stored), env={**public, **dict.fromkeys(secret, MASK)})
        secrets = {name: value for name, value in {**secret, **found.secrets}.items() if value != MASK}
        return CheckedRequest(
            request=scrubbed,
            trainer=trainer,
            errors=(*mistakes, *used.mistakes, *cached.mistakes, *used.point(found.errors)),
            warnings=(*used.point(found.warnings), *self._capacity.find_warnings(request, plan)),
            plan=None if plan is None else self._with_memory(plan),
            secrets=secrets,
            problems=(*self._capacity.find_problems(request), *cached.problems),
            samples=order,
        )

    def _unknown_type(self, name: str) -> Finding:
        known = self.model_types
        close = nearest_variant(name, known)
        remedy = (
            Reason.of('Did you mean "{close}"?', "advice_close_name", close=close)
            if close
            else Reason.of("Known types: {known}.", "advice_known_types", known=", ".join(known))
        )
        return make_finding(
            "/model_type",
            FindingText("no_trainer_for_model", 'No trainer knows the model type "{name}".'),
            remedy=remedy,
            name=name[:80],
        )

    def _with_memory(self, plan: TrainingPlan) -> TrainingPlan:
        if plan.memory is None:
            return plan
        facts = plan.memory.facts
        return with_measured_memory(plan, self._find_runs(facts.model_type, facts.variant))
