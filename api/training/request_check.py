"""Validation of training requests: everything is checked at once before anything starts."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from api.access.readable_paths import ReadablePaths
from api.domain.dataset import PinnedDataset
from api.domain.dataset_cache import CacheState
from api.domain.finding import finding_of, make_finding
from api.domain.gpu import GPUOffer
from api.domain.measured_memory import MemoryRun
from api.domain.read_scope import current_scope
from api.domain.reason import Reason
from api.domain.sample_set import RequestedSamples, SampleOrder
from api.domain.training import PriorityClass, TrainingPlan, TrainingRequest
from api.domain.usage import GB
from api.errors import CheckBusy, Finding, InsufficientGPUs, Invalid, NotFound, ServiceError
from api.files.disk import find_free_bytes, find_shortage
from api.files.task_files import task_files
from api.gpus.offers import explain_no_gpus, list_offers
from api.gpus.service import GPUService
from api.trainers.environment import check_env, split_secrets
from api.trainers.request_texts import find_userinfo, without_secret_comments
from api.trainers.trainer import SupportsRehearsal, Trainer
from api.training.cluster import ClusterNodes
from api.training.dataset_use import CacheQuestion, CacheUse, DatasetUse, NoCaches, NoDatasets
from api.training.measured_memory import with_measured_memory
from api.util.masking import MASK
from api.util.suggestions import nearest
from api.util.validation import capped

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


class SampleCheck(Protocol):
    """Checks the automatic samples of requests."""

    def order(self, requested: RequestedSamples) -> SampleOrder:
        """Return what is rendered. Raise NotFound."""

    def find_problem(
        self, request: TrainingRequest, order: SampleOrder, datasets: Sequence[PinnedDataset]
    ) -> Finding | None:
        """Return why a training with this request and these datasets cannot be rendered so, or None."""


#: Returns measured memory of trainings of a model type and variant.
FindRuns = Callable[[str, str | None], Sequence[MemoryRun]]


class RequestChecker:
    """Validates requests, without changing anything."""

    def __init__(
        self,
        trainers: Mapping[str, Trainer],
        gpus: GPUService,
        storage_root: Path,
        min_free_mb: int,
        cache_roots: Sequence[Path] = (),
        datasets: DatasetUse | None = None,
        channel_names: Callable[[], Collection[str]] = lambda: (),
        caches: CacheUse | None = None,
        find_runs: FindRuns = lambda model_type, variant: (),
        cluster: ClusterNodes | None = None,
        paths: ReadablePaths | None = None,
        samples: SampleCheck | None = None,
    ) -> None:
        """Create the checker.

        `find_runs` returns measured memory of a model type and variant, `channel_names` the names of notification
        channels. Both may query the database. Without `cluster`, trainings run on this machine.
        Without `paths`, every path may be read. Without `samples`, requests for samples are rejected.
        """
        self._samples = samples
        self._paths = paths
        self._cluster = cluster
        self._datasets = datasets or NoDatasets()
        self._caches = caches or NoCaches()
        self._trainers = trainers
        self._gpus = gpus
        self._find_runs = find_runs
        self._storage_root = storage_root
        self._min_free_mb = min_free_mb
        self._checking = threading.BoundedSemaphore(MAX_CHECKS)
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._cache_roots = cache_roots
        self._channel_names = channel_names

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
        mistakes = [
            *check_env(request.env, self._cache_roots),
            *self._gpu_mistakes(request),
            *self._notice_mistakes(request),
            *self._cluster_mistakes(request),
        ]
        trainer = next((t for t in self._trainers.values() if request.model_type in t.model_types), None)
        if trainer is None:
            return CheckedRequest(request, None, errors=(self._unknown_type(request.model_type), *mistakes))
        files = task_files(self._storage_root, task_id)
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
            mistakes.append(make_finding("/model_type", "rehearsal_unsupported", trainer=trainer.name))
        found = trainer.check(cached.given(used.given), files.output)
        plan = None if found.plan is None or used.mistakes else used.finish(found.plan)
        if plan is not None and plan.rehearsal is not None:
            # It has its own directories and cache, so that it neither waits for others nor makes them wait.
            is_cached = cached.cache is not None and cached.cache.state is CacheState.COMPLETE
            plan = replace(plan, rehearsal=replace(plan.rehearsal, is_cached=is_cached))
        elif plan is not None:
            plan = cached.finish(plan)
        order, unsuited = self.check_samples(request, plan)
        mistakes += unsuited
        public, secret = split_secrets(request.env)
        scrubbed = replace(trainer.without_secrets(used.stored), env={**public, **dict.fromkeys(secret, MASK)})
        secrets = {name: value for name, value in {**secret, **found.secrets}.items() if value != MASK}
        return CheckedRequest(
            request=scrubbed,
            trainer=trainer,
            errors=(*mistakes, *used.mistakes, *cached.mistakes, *used.point(found.errors)),
            warnings=(
                *used.point(found.warnings),
                *self._memory_warnings(request, plan),
                *self._disk_warnings(plan),
                *self._class_warnings(request),
            ),
            plan=None if plan is None else self._with_memory(plan),
            secrets=secrets,
            problems=(*self._problems(request), *cached.problems),
            samples=order,
        )

    def check_samples(
        self, request: TrainingRequest, plan: TrainingPlan | None
    ) -> tuple[SampleOrder | None, list[Finding]]:
        """Return the automatic samples of a request, and the errors in them."""
        requested = request.samples
        if requested is None or request.cache_only or request.rehearsal:
            return None, []
        if self._samples is None:
            return None, [make_finding("/samples", "samples_unsupported")]
        try:
            order = self._samples.order(requested)
        except NotFound as problem:
            return None, [finding_of("/samples/sample_set", problem)]
        found = self._samples.find_problem(request, order, () if plan is None else plan.datasets)
        return order, [] if found is None else [found]

    def _unknown_type(self, name: str) -> Finding:
        known = self.model_types
        close = nearest(name, known)
        remedy = f'Did you mean "{close}"?' if close else f"Known types: {', '.join(known)}."
        return make_finding("/model_type", "no_trainer_for_model", remedy=remedy, name=name[:80])

    @property
    def _knows_machines(self) -> bool:
        """Whether the cluster has reported its nodes and their GPUs.

        Until then, no request is known to be too large.
        """
        state = self._gpus.state
        return bool(state.startable) and explain_no_gpus(state) is None

    def _name(self, gpu: GPUOffer) -> int | str:
        return f"{gpu.node}:{gpu.index}" if self._gpus.state.is_fleet else gpu.index

    def _gpu_mistakes(self, request: TrainingRequest) -> list[Finding]:
        if not self._knows_machines:
            return []
        offers = list_offers(self._gpus.state)
        by_name: dict[str, list[GPUOffer]] = {}
        for gpu in offers:
            for name in gpu.names:
                by_name.setdefault(name, []).append(gpu)
        mistakes, seen, nodes = [], set(), {gpu.node for gpu in offers}
        existing = ", ".join(str(self._name(gpu)) for gpu in offers)
        for at, reference in enumerate(request.gpus.references):
            pointer = "/gpu_id" if request.gpus.is_single else f"/gpu_ids/{at}"
            found = by_name.get(str(reference))
            if found is None:
                code = "gpu_on_no_node" if self._gpus.state.is_fleet else "gpu_missing"
                mistakes.append(make_finding(pointer, code, gpu=reference, existing=existing))
                continue
            if found[0].uuid in seen:
                mistakes.append(make_finding(pointer, "gpu_twice"))
            seen.add(found[0].uuid)
            nodes &= {gpu.node for gpu in found}
        if not mistakes and not nodes and seen:
            mistakes.append(make_finding("/gpu_ids", "gpus_on_several_nodes"))
        return mistakes

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
            make_finding(f"/notify/channels/{index}", "channel_unknown", remedy=remedy, name=name)
            for index, name in enumerate(request.notify.channels)
            if name not in known
        ]

    def _cluster_mistakes(self, request: TrainingRequest) -> Sequence[Finding]:
        if self._cluster is not None:
            return self._cluster.mistakes(request)
        if request.slurm is None:
            return ()
        return (make_finding("/slurm", "no_cluster"),)

    def _problems(self, request: TrainingRequest) -> list[ServiceError]:
        problems: list[ServiceError] = []
        requested, offers = request.gpus, list_offers(self._gpus.state)
        fit = [gpu for gpu in offers if _is_large_enough(gpu, requested.min_memory)]
        largest = max(Counter(gpu.node for gpu in fit).values(), default=0)
        if not requested.references and largest < requested.count and self._knows_machines:
            least = requested.min_memory
            memory = Reason.of(" with {mb} MB", "with_memory", mb=f"{least:,}") if least else ""
            named = {"count": requested.count, "memory": memory, "largest": largest}
            why = Reason.of("It needs {count} GPUs{memory}; this machine has {largest}.", "too_few_gpus", **named)
            if len({gpu.node for gpu in offers}) > 1:
                # A training runs on a single node.
                why = Reason.of(
                    "It needs {count} GPUs{memory} on one node; the largest has {largest}.",
                    "too_few_gpus_on_node",
                    **named,
                )
            sizes = [{"gpu_id": self._name(gpu), "memory_total": gpu.total_mb} for gpu in offers]
            problems.append(InsufficientGPUs(why, data={"gpus": sizes}))
        if requested.references and any(
            not _is_large_enough(gpu, requested.min_memory) for gpu in _named(offers, request)
        ):
            why = Reason.of("A requested GPU has less memory than min_memory.", "gpu_below_min_memory")
            problems.append(InsufficientGPUs(why))
        shortage = find_shortage(self._storage_root, self._min_free_mb)
        if shortage is not None:
            problems.append(shortage)
        return problems

    def _class_warnings(self, request: TrainingRequest) -> Sequence[Finding]:
        """Return a warning if an urgent request leaves it to a cluster to stop others, but not by which rule."""
        slurm = request.slurm
        if self._cluster is None or request.priority_class is not PriorityClass.URGENT:
            return ()
        return (
            ()
            if slurm is not None and (slurm.qos or slurm.partition)
            else (make_finding("/priority_class", "urgent_on_cluster"),)
        )

    def _memory_warnings(self, request: TrainingRequest, plan: TrainingPlan | None) -> list[Finding]:
        """Return a warning if GPUs cannot hold the weights. Unknown sizes count as sufficient."""
        weights = None if plan is None else plan.weights_mb
        if weights is None or not self._knows_machines or request.gpus.count == 0:
            return []
        offers: Sequence[GPUOffer] = list_offers(self._gpus.state)
        offers = _named(offers, request) if request.gpus.references else offers
        small = [gpu.total_mb for gpu in offers if gpu.total_mb is not None and gpu.total_mb < weights]
        fits = Counter(gpu.node for gpu in offers if gpu.total_mb is None or gpu.total_mb >= weights)
        if not small or (not request.gpus.references and max(fits.values(), default=0) >= request.gpu_count):
            return []
        return [make_finding("/config/model", "weights_too_large", weights=f"{weights:,}", small=f"{max(small):,}")]

    def _disk_warnings(self, plan: TrainingPlan | None) -> list[Finding]:
        """Return a warning if what the plan stores would fill the disk. Unknown sizes and free space give none."""
        outputs = () if plan is None else (plan.saved_models, plan.checkpoints)
        needed = sum((each.total_bytes or 0) for each in outputs if each is not None)
        free = find_free_bytes(self._storage_root, self._min_free_mb)
        if free is None or needed <= free:
            return []
        return [
            make_finding(
                "/config",
                "disk_too_small",
                needed=f"{needed / GB:,.1f}",
                free=f"{free / GB:,.1f}",
                storage_root=self._storage_root,
            )
        ]

    def _with_memory(self, plan: TrainingPlan) -> TrainingPlan:
        if plan.memory is None:
            return plan
        facts = plan.memory.facts
        return with_measured_memory(plan, self._find_runs(facts.model_type, facts.variant))


def _named(offers: Sequence[GPUOffer], request: TrainingRequest) -> list[GPUOffer]:
    references = {str(reference) for reference in request.gpus.references}
    return [gpu for gpu in offers if not references.isdisjoint(gpu.names)]


def _is_large_enough(gpu: GPUOffer, min_memory: int) -> bool:
    return not min_memory or (gpu.total_mb is not None and gpu.total_mb >= min_memory)
