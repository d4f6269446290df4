"""Checks a request for a training: everything at once, before anything is started."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from api.access.readable_paths import ReadablePaths
from api.domain.gpu import GPUOffer
from api.domain.measured_memory import MemoryRun
from api.domain.sight import current_sight
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import CheckBusy, InsufficientGPUs, Invalid, Mistake, ServiceError
from api.files.disk import find_shortage
from api.files.task_files import task_files
from api.gpus.offers import explain_no_gpus, list_offers
from api.gpus.service import GPUService
from api.trainers.environment import check_env, split_secrets
from api.trainers.stray_secrets import find_userinfo, without_secret_comments
from api.trainers.trainer import Trainer
from api.training.cache_use import CacheQuestion, CacheUse, NoCaches
from api.training.cluster import EngineCheck, NoEngine
from api.training.dataset_use import DatasetUse, NoDatasets
from api.training.measured_memory import with_measured_memory
from api.util.bounds import capped
from api.util.masking import MASK
from api.util.suggestions import nearest

#: The most checks at a time, the most that wait for one to end, and for how many seconds: of 16 threads some stay free.
MAX_CHECKS = 4
MAX_WAITING = 8
WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request with what was found in it; `request` holds no secret any more."""

    request: TrainingRequest
    trainer: Trainer | None
    errors: tuple[Mistake, ...] = ()
    warnings: tuple[Mistake, ...] = ()
    plan: TrainingPlan | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: tuple[ServiceError, ...] = ()  #: what is well-formed, but more than this machine has

    def require(self) -> tuple[Trainer, TrainingPlan]:
        """The trainer and the plan. Raises Invalid, or the first problem of the machine."""
        if self.errors or self.trainer is None or self.plan is None:
            raise Invalid(mistakes=self.errors)
        for problem in self.problems:
            raise problem
        return self.trainer, self.plan


#: What trainings of a model type and a variant used of GPUs.
FindRuns = Callable[[str, str | None], Sequence[MemoryRun]]


class RequestChecker:
    """Finds what is wrong with a request; it changes nothing."""

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
        engine: EngineCheck | None = None,
        paths: ReadablePaths | None = None,
    ) -> None:
        """`find_runs` tells what trainings of a model type and a variant used of GPUs; `channel_names` gives the names
        of the channels by which people can be told. Both may ask the database. `engine` knows the cluster; None:
        trainings run on this machine. `paths` None: every path may be read.
        """
        self._paths = paths
        self._engine = engine or NoEngine()
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
        """Every model type that some trainer knows."""
        return sorted({name for trainer in self._trainers.values() for name in trainer.model_types})

    def check(
        self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = (), owner: str | None = None
    ) -> CheckedRequest:
        """Everything that was found, and the plan where one can be made. What the tasks of `known_by` use of datasets
        may be used again, and caches that are the owner's. Raises CheckBusy.
        """
        with self._gate():
            found = self._check(request, task_id, known_by, owner)
        return replace(found, errors=tuple(capped(found.errors)), warnings=tuple(capped(found.warnings)))

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Holds a place among the running checks. Raises CheckBusy when too many wait for one already."""
        if not (self._checking.acquire(blocking=False) or self._wait_for_place()):
            raise CheckBusy(headers={"Retry-After": "1"})
        try:
            yield
        finally:
            self._checking.release()

    def _wait_for_place(self) -> bool:
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
            *self._engine.mistakes(request),
        ]
        trainer = next((t for t in self._trainers.values() if request.model_type in t.model_types), None)
        if trainer is None:
            return CheckedRequest(request, None, errors=(self._unknown_type(request.model_type), *mistakes))
        files = task_files(self._storage_root, task_id)
        sight = current_sight.get()
        refused = self._paths.check_request(request, trainer, files.attempts / "1", sight) if self._paths else []
        if refused:
            # Nothing else is said of what may not be read: other checks would open it.
            return CheckedRequest(request, None, errors=(*mistakes, *refused))
        # Before anything is made of it: files and plans are written from what is kept.
        request = without_secret_comments(request)
        mistakes += find_userinfo(request)
        used = self._datasets.use(request, task_id, known_by)
        cached = self._caches.choose(CacheQuestion(request, used, trainer, task_id, owner, known_by))
        found = trainer.check(cached.given(used.given), files.output)
        plan = None if found.plan is None or used.mistakes else cached.finish(used.finish(found.plan))
        public, secret = split_secrets(request.env)
        scrubbed = replace(trainer.without_secrets(used.kept), env={**public, **dict.fromkeys(secret, MASK)})
        secrets = {name: value for name, value in {**secret, **found.secrets}.items() if value != MASK}
        return CheckedRequest(
            request=scrubbed,
            trainer=trainer,
            errors=(*mistakes, *used.mistakes, *cached.mistakes, *used.point(found.errors)),
            warnings=(*used.point(found.warnings), *self._memory_warnings(request, plan)),
            plan=None if plan is None else self._with_memory(plan),
            secrets=secrets,
            problems=(*self._problems(request), *cached.problems),
        )

    def _unknown_type(self, name: str) -> Mistake:
        known = self.model_types
        close = nearest(name, known)
        remedy = f'Did you mean "{close}"?' if close else f"Known are: {', '.join(known)}."
        return Mistake("/model_type", f'No trainer knows the model type "{name[:80]}".', remedy)

    @property
    def _knows_machines(self) -> bool:
        """Whether the engine has said which machines it has, and GPUs of theirs are reported.

        Before that nothing is known to be too much for them.
        """
        state = self._gpus.state
        return bool(state.startable) and explain_no_gpus(state) is None

    def _call(self, gpu: GPUOffer) -> int | str:
        return f"{gpu.node}:{gpu.index}" if self._gpus.state.is_fleet else gpu.index

    def _gpu_mistakes(self, request: TrainingRequest) -> list[Mistake]:
        if not self._knows_machines:
            return []
        offers = list_offers(self._gpus.state)
        by_name: dict[str, list[GPUOffer]] = {}
        for gpu in offers:
            for name in gpu.names:
                by_name.setdefault(name, []).append(gpu)
        mistakes, seen, nodes = [], set(), {gpu.node for gpu in offers}
        there = ", ".join(str(self._call(gpu)) for gpu in offers)
        for at, reference in enumerate(request.gpus.references):
            pointer = "/gpu_id" if request.gpus.is_single else f"/gpu_ids/{at}"
            found = by_name.get(str(reference))
            if found is None:
                text = f"No GPU has the index or UUID {reference}."
                if self._gpus.state.is_fleet:
                    text = f"No GPU of a machine on which trainings are started is called {reference}."
                mistakes.append(Mistake(pointer, text, f"There are: {there}."))
                continue
            if found[0].uuid in seen:
                mistakes.append(Mistake(pointer, "This GPU is named twice.", "Name each GPU once."))
            seen.add(found[0].uuid)
            nodes &= {gpu.node for gpu in found}
        if not mistakes and not nodes and seen:
            text = "These GPUs are of several machines, and no trainer can be started on several at once."
            mistakes.append(Mistake("/gpu_ids", text, "Name GPUs of one machine."))
        return mistakes

    def _notice_mistakes(self, request: TrainingRequest) -> list[Mistake]:
        if request.notify is None:
            return []
        known = sorted(self._channel_names())
        there = f"There are: {', '.join(known)}." if known else "There is none yet: an administrator makes them."
        return [
            Mistake(f"/notify/channels/{place}", f'No channel is called "{name}".', there)
            for place, name in enumerate(request.notify.channels)
            if name not in known
        ]

    def _problems(self, request: TrainingRequest) -> list[ServiceError]:
        problems: list[ServiceError] = []
        wish, offers = request.gpus, list_offers(self._gpus.state)
        fit = [gpu for gpu in offers if _is_large_enough(gpu, wish.min_memory)]
        most = max(Counter(gpu.node for gpu in fit).values(), default=0)
        if not wish.references and most < wish.count and self._knows_machines:
            with_memory = f" with {wish.min_memory:,} MB" if wish.min_memory else ""
            message = f"It needs {wish.count} GPUs{with_memory}; this machine has {most}."
            if len({gpu.node for gpu in offers}) > 1:
                # No trainer can be started on several machines at once.
                message = f"It needs {wish.count} GPUs{with_memory} in one machine; the largest has {most} of such."
            sizes = [{"gpu_id": self._call(gpu), "memory_total": gpu.total_mb} for gpu in offers]
            problems.append(InsufficientGPUs(message, data={"gpus": sizes}))
        if wish.references and any(not _is_large_enough(gpu, wish.min_memory) for gpu in _named(offers, request)):
            problems.append(InsufficientGPUs("A GPU that is named has less memory than min_memory asks for."))
        shortage = find_shortage(self._storage_root, self._min_free_mb)
        if shortage is not None:
            problems.append(shortage)
        return problems

    def _memory_warnings(self, request: TrainingRequest, plan: TrainingPlan | None) -> list[Mistake]:
        """Whether the GPUs hold the weights at all; what is unknown of a GPU is not taken for too little."""
        weights = None if plan is None else plan.weights_mb
        if weights is None or not self._knows_machines or request.gpus.count == 0:
            return []
        offers: Sequence[GPUOffer] = list_offers(self._gpus.state)
        offers = _named(offers, request) if request.gpus.references else offers
        small = [gpu.total_mb for gpu in offers if gpu.total_mb is not None and gpu.total_mb < weights]
        fits = Counter(gpu.node for gpu in offers if gpu.total_mb is None or gpu.total_mb >= weights)
        if not small or (not request.gpus.references and max(fits.values(), default=0) >= request.gpu_count):
            return []
        return [
            Mistake(
                "/config/model",
                f"The weights alone take {weights:,} MB on each GPU, and a GPU here has {max(small):,} MB: the trainer"
                " runs out of memory when it loads them.",
                "Train them as float8 or take a quantised file, set blocks_to_swap, use more pipeline_stages, or ask"
                " for a larger GPU.",
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
