"""Check whether this machine, or its cluster, can serve a request: GPUs, memory, disk, cluster options.

Whether a queued task can start now is decided by `planner.py`.
"""

from collections import Counter
from collections.abc import Sequence

from api.domain.finding import make_finding
from api.domain.machines.gpu import GPUOffer
from api.domain.reason import Reason
from api.domain.tasks.labels import PriorityClass
from api.domain.tasks.training import TrainingPlan, TrainingRequest
from api.domain.tasks.usage import GB
from api.errors import Finding, FindingText, InsufficientGPUs, ServiceError
from api.files.task_files import TaskStorage
from api.gpus.offers import explain_no_gpus, list_offers
from api.gpus.service import GPUService
from api.training.cluster import ClusterNodes


class CapacityCheck:
    """Compares requests with the GPUs, the disk and the cluster that exist."""

    def __init__(self, gpus: GPUService, storage: TaskStorage, cluster: ClusterNodes | None = None) -> None:
        """Create the check. Without `cluster`, trainings run on this machine."""
        self._gpus = gpus
        self._storage = storage
        self._cluster = cluster

    def find_mistakes(self, request: TrainingRequest) -> list[Finding]:
        """Return the errors in how a request chooses GPUs and nodes."""
        return [*self._gpu_mistakes(request), *self._cluster_mistakes(request)]

    def find_warnings(self, request: TrainingRequest, plan: TrainingPlan | None) -> list[Finding]:
        """Return what may not suffice for a request with this plan."""
        return [
            *self._memory_warnings(request, plan),
            *self._disk_warnings(plan),
            *self._class_warnings(request),
        ]

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
                problem = (
                    FindingText(
                        "gpu_on_no_node",
                        "No node on which trainings can start has the GPU {gpu}.",
                        "Existing GPUs: {existing}.",
                    )
                    if self._gpus.state.is_fleet
                    else FindingText(
                        "gpu_missing", "There is no GPU with the index or UUID {gpu}.", "Existing GPUs: {existing}."
                    )
                )
                mistakes.append(make_finding(pointer, problem, gpu=reference, existing=existing))
                continue
            if found[0].uuid in seen:
                mistakes.append(
                    make_finding(pointer, FindingText("gpu_twice", "This GPU is listed twice.", "List each GPU once."))
                )
            seen.add(found[0].uuid)
            nodes &= {gpu.node for gpu in found}
        if not mistakes and not nodes and seen:
            mistakes.append(
                make_finding(
                    "/gpu_ids",
                    FindingText(
                        "gpus_on_several_nodes",
                        "These GPUs are on several nodes, but a training runs on a single node.",
                        "Choose GPUs of one node.",
                    ),
                )
            )
        return mistakes

    def _cluster_mistakes(self, request: TrainingRequest) -> Sequence[Finding]:
        if self._cluster is not None:
            return self._cluster.mistakes(request)
        if request.slurm is None:
            return ()
        return (
            make_finding(
                "/slurm",
                FindingText(
                    "no_cluster",
                    "Trainings run on this machine (EXECUTOR=local), without partitions, accounts or limits.",
                    "Remove it, or use a service with EXECUTOR=slurm.",
                ),
            ),
        )

    def find_problems(self, request: TrainingRequest) -> list[ServiceError]:
        """Return the reasons why this machine cannot serve a valid request."""
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
        shortage = self._storage.find_shortage()
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
            else (
                make_finding(
                    "/priority_class",
                    FindingText(
                        "urgent_on_cluster",
                        "On a cluster, an urgent training starts first but makes no other one stop.",
                        "Set slurm.qos or slurm.partition to one that preempts others in Slurm.",
                    ),
                ),
            )
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
        return [
            make_finding(
                "/config/model",
                FindingText(
                    "weights_too_large",
                    (
                        "The weights alone need {weights} MB on each GPU, but a GPU here has {small} MB: the "
                        "trainer will run out of memory when loading them."
                    ),
                    (
                        "Train them as float8, use a quantised file, set blocks_to_swap, use more pipeline_stages, or "
                        "request a larger GPU."
                    ),
                ),
                weights=f"{weights:,}",
                small=f"{max(small):,}",
            )
        ]

    def _disk_warnings(self, plan: TrainingPlan | None) -> list[Finding]:
        """Return a warning if what the plan stores would fill the disk. Unknown sizes and free space give none."""
        outputs = () if plan is None else (plan.saved_models, plan.checkpoints)
        needed = sum((each.total_bytes or 0) for each in outputs if each is not None)
        free = self._storage.find_free_bytes()
        if free is None or needed <= free:
            return []
        return [
            make_finding(
                "/config",
                FindingText(
                    "disk_too_small",
                    (
                        "Its saved models and checkpoints need about {needed} GB of disk, and {free} GB are "
                        "usable under {storage_root}: the disk will be full before it ends."
                    ),
                    "Save less often (save_every_n_epochs, checkpoint_every_n_epochs), or free disk space.",
                ),
                needed=f"{needed / GB:,.1f}",
                free=f"{free / GB:,.1f}",
                storage_root=self._storage.root,
            )
        ]


def _named(offers: Sequence[GPUOffer], request: TrainingRequest) -> list[GPUOffer]:
    references = {str(reference) for reference in request.gpus.references}
    return [gpu for gpu in offers if not references.isdisjoint(gpu.names)]


def _is_large_enough(gpu: GPUOffer, min_memory: int) -> bool:
    return not min_memory or (gpu.total_mb is not None and gpu.total_mb >= min_memory)
