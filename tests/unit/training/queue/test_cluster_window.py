"""The window of tasks that wait in a cluster, with an in-memory cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.reason import Reason
from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.training import GPURequest, TaskSummary, TrainingPlan, TrainingRequest
from api.executors.executor import EarlyJob, EarlyJobRequest
from api.files.task_files import TaskFiles
from api.training.intake import preview
from api.training.queue.cluster_window import CLAIM_SECONDS, REST_SECONDS, UNUSABLE_SECONDS, ClusterWindow, Engine
from api.util.clock import FakeClock


class InMemoryClusterQueue:
    """A cluster queue in memory. `waiting` has the waiting jobs by uid."""

    def __init__(self) -> None:
        self.waiting: dict[str, EarlyJob] = {}
        self.requests: list[EarlyJobRequest] = []
        self.started: set[str] = set()
        self.starting: set[str] = set()
        self.submitted: set[str] = set()
        self.rejected: set[str] = set()
        self.problem: OSError | None = None

    def list(self) -> Mapping[str, EarlyJob]:
        if self.problem is not None:
            raise self.problem
        return self.waiting

    def has_job(self, uid: str) -> bool:
        return uid in self.submitted

    def hand_over(self, wanted: EarlyJobRequest) -> bool:
        if wanted.uid in self.rejected:
            raise OSError("no such account")
        self.requests.append(wanted)
        self.waiting[wanted.uid] = EarlyJob(len(self.requests), nodes=wanted.nodes)
        return True

    def set_allowed_nodes(self, uid: str, nodes: frozenset[str]) -> None:
        self.waiting[uid] = replace(self.waiting[uid], nodes=nodes)

    def cancel_jobs(self, uids: Sequence[str]) -> None:
        for uid in uids:
            del self.waiting[uid]

    def gives(self, uid: str, *gpus: int) -> None:
        self.waiting[uid] = replace(self.waiting[uid], node="n1", gpu_indices=gpus)


@pytest.fixture
def engine() -> InMemoryClusterQueue:
    return InMemoryClusterQueue()


@pytest.fixture
def window(engine: InMemoryClusterQueue, clock: FakeClock) -> ClusterWindow:
    return open_window(engine, clock, {"n1": 2}, {"a": ClusterOptions(qos="high")})


def open_window(
    engine: InMemoryClusterQueue,
    clock: FakeClock,
    machines: Mapping[str, int],
    options: Mapping[str, ClusterOptions] | None = None,
    size: int = 2,
) -> ClusterWindow:
    cluster = Engine(engine, lambda: engine.started, lambda: engine.starting, lambda: machines, lambda: options or {})
    return ClusterWindow(cluster, size, lambda task_id: TaskFiles(Path("/storage") / task_id), clock)


def task(name: str, count: int = 1, **options: object) -> TaskSummary:
    request = TrainingRequest("toy", GPURequest(count=count, **options))  # type: ignore[arg-type]
    return preview(name, request, TrainingPlan("toy", "toy", count), FakeClock().now())


def gpu(index: int, reason: Reason | None = None, held_by: str | None = None, mb: int = 24_000) -> GPUOffer:
    is_free = reason is None and held_by is None
    status = GPUStatus.AVAILABLE if is_free else GPUStatus.BUSY
    return GPUOffer("n1", index, f"GPU-{index}", None, mb, mb, is_free, status, reason, held_by)


OTHERS_JOB = Reason.of("Slurm's job {job} of {user} has it", "slurm_job", job=3, user="eve")
OFFERS = (gpu(0, OTHERS_JOB), gpu(1, held_by="x"))


class Claims:
    """Records claims, which succeed or fail as set."""

    def __init__(self, succeeds: bool = True) -> None:
        self.made: list[tuple[str, list[int]]] = []
        self._succeeds = succeeds

    def __call__(self, task: TaskSummary, gpus: Sequence[GPUOffer]) -> bool:
        self.made.append((task.task_id, [each.index for each in gpus]))
        return self._succeeds


def turn(window: ClusterWindow, *short: TaskSummary, offers: Sequence[GPUOffer] = OFFERS) -> Claims:
    claims = Claims()
    window.update(short, offers, {}, claims)
    return claims


def test_first_tasks_wait_in_the_cluster_up_to_the_limit(window: ClusterWindow, engine: InMemoryClusterQueue):
    turn(window, task("a"), task("b"), task("c"))
    assert list(engine.waiting) == ["a.1", "b.1"]
    assert engine.requests[0] == EarlyJobRequest(
        "a.1", Path("/storage/a/attempts/1"), 1, frozenset({"n1"}), ClusterOptions(qos="high")
    )
    turn(window, task("a"), task("b"), task("c"))
    assert len(engine.requests) == 2


def test_no_task_waits_in_the_cluster_with_size_zero(engine: InMemoryClusterQueue, clock: FakeClock):
    engine.waiting["a.1"] = EarlyJob(1)
    turn(open_window(engine, clock, {"n1": 2}, size=0), task("a"))
    assert not engine.waiting


def test_task_that_no_longer_waits_is_withdrawn(window: ClusterWindow, engine: InMemoryClusterQueue):
    turn(window, task("a"), task("b"))
    turn(window, task("b"), task("c"))
    assert list(engine.waiting) == ["b.1", "c.1"]
    turn(window)
    assert not engine.waiting
    turn(window)
    assert not window.is_open


def test_equal_tasks_keep_their_positions_in_the_cluster(window: ClusterWindow, engine: InMemoryClusterQueue):
    turn(window, task("a"), task("b"))
    turn(window, task("c"), task("b"), task("a"))
    assert {uid: given.number for uid, given in engine.waiting.items()} == {"a.1": 1, "b.1": 2}


def test_higher_priority_waits_before_others_in_the_cluster(window: ClusterWindow, engine: InMemoryClusterQueue):
    turn(window, task("a"), task("b"))
    turn(window, replace(task("b"), priority=5), task("a"))
    assert sorted(engine.waiting, key=lambda uid: engine.waiting[uid].number) == ["b.1", "a.1"]


def test_task_is_claimed_on_its_given_gpus(window: ClusterWindow, engine: InMemoryClusterQueue):
    turn(window, task("a"), task("b"))
    engine.gives("b.1", 1)
    assert turn(window, task("a"), task("b")).made == [("b", [1])]
    engine.started.add("b.1")
    turn(window, task("a"))
    assert "b.1" in engine.waiting, "it is the attempt's own now"


def test_claim_is_retried_and_then_the_gpus_are_returned(
    window: ClusterWindow, engine: InMemoryClusterQueue, clock: FakeClock
):
    turn(window, task("a"))
    engine.gives("a.1", 0)
    for seconds in (0, CLAIM_SECONDS - 1):
        clock.advance(seconds)
        window.update([task("a")], OFFERS, {}, Claims(succeeds=False))
        assert "a.1" in engine.waiting
    for seconds in (1, REST_SECONDS - 1):
        clock.advance(seconds)
        window.update([task("a")], OFFERS, {}, Claims(succeeds=False))
        assert not engine.waiting
    clock.advance(1)
    turn(window, task("a"))
    assert "a.1" in engine.waiting


def test_task_with_gpus_of_a_node_without_storage_gets_others(engine: InMemoryClusterQueue, clock: FakeClock):
    window = open_window(engine, clock, {"n1": 2, "n2": 1})
    elsewhere = replace(gpu(0, OTHERS_JOB), node="n2", uuid="GPU-9")
    lost = Reason.of("its machine does not share STORAGE_ROOT", "storage_not_shared")
    turn(window, task("a"), offers=(*OFFERS, elsewhere))
    engine.gives("a.1", 0)
    now = (gpu(0, lost), gpu(1, lost), elsewhere)
    window.update([task("a")], now, {}, Claims(succeeds=False))
    clock.advance(UNUSABLE_SECONDS - 1)
    # A node that returns immediately keeps its job.
    window.update([task("a")], (*OFFERS, elsewhere), {}, Claims(succeeds=False))
    window.update([task("a")], now, {}, Claims(succeeds=False))
    clock.advance(UNUSABLE_SECONDS - 1)
    window.update([task("a")], now, {}, Claims(succeeds=False))
    assert engine.waiting["a.1"].node == "n1"
    clock.advance(1)
    window.update([task("a")], now, {}, Claims(succeeds=False))
    assert (engine.waiting["a.1"].node, engine.requests[-1].nodes) == ("", {"n2"})


def test_nothing_is_submitted_while_a_claimed_attempt_has_no_job(window: ClusterWindow, engine: InMemoryClusterQueue):
    engine.starting = {"x.1", "y.1"}
    engine.submitted = {"x.1"}
    turn(window, task("a"), task("b"))
    assert not engine.waiting
    assert window.is_open
    engine.submitted.add("y.1")
    turn(window, task("a"), task("b"))
    assert list(engine.waiting) == ["a.1", "b.1"]


def test_job_returns_gpus_that_are_leased_to_another_attempt(
    window: ClusterWindow, engine: InMemoryClusterQueue, clock: FakeClock
):
    turn(window, task("a"), task("b"))
    engine.gives("a.1", 1)
    leased = (gpu(0, OTHERS_JOB), gpu(1, held_by="x"))
    window.update([task("a"), task("b")], leased, {}, Claims(succeeds=False))
    clock.advance(UNUSABLE_SECONDS - 1)
    window.update([task("a"), task("b")], leased, {}, Claims(succeeds=False))
    assert engine.waiting["a.1"].node == "n1"
    clock.advance(1)
    window.update([task("a"), task("b")], leased, {}, Claims(succeeds=False))
    # The task waits there again, behind the job of the attempt that has the GPU.
    assert (engine.waiting["a.1"].node, engine.requests[-1].uid) == ("", "a.1")


@pytest.mark.parametrize(
    "given",
    [replace(gpu(1, held_by="x"), status=GPUStatus.DRAINING), gpu(1, held_by="a")],
    ids=["drains", "was its own task's"],
)
def test_job_keeps_gpus_that_its_task_can_claim_soon(
    window: ClusterWindow, engine: InMemoryClusterQueue, clock: FakeClock, given: GPUOffer
):
    turn(window, task("a"))
    engine.gives("a.1", 1)
    for _ in range(2):
        window.update([task("a")], (gpu(0, OTHERS_JOB), given), {}, Claims(succeeds=False))
        clock.advance(CLAIM_SECONDS / 2)
    assert engine.waiting["a.1"].node == "n1"


def test_gpus_of_a_task_that_left_the_queue_are_returned(window: ClusterWindow, engine: InMemoryClusterQueue):
    turn(window, task("a"))
    engine.gives("a.1", 0)
    assert turn(window, task("b")).made == []
    assert list(engine.waiting) == ["b.1"]


@pytest.mark.parametrize(
    ("wanted", "offers"),
    [
        (task("a", references=("GPU-0",)), OFFERS),
        (task("a", min_memory=80_000), OFFERS),
        (task("a", count=3), OFFERS),
        (task("a"), (gpu(0, Reason.of("unhealthy", "unhealthy")), gpu(1))),
        (task("a"), (gpu(0, OTHERS_JOB),)),
    ],
    ids=["names a GPU", "needs more memory", "needs more GPUs", "a GPU is not given", "a GPU is not read"],
)
def test_node_that_could_give_an_unsuitable_gpu_is_excluded(
    window: ClusterWindow, engine: InMemoryClusterQueue, wanted: TaskSummary, offers: Sequence[GPUOffer]
):
    turn(window, wanted, offers=offers)
    assert not engine.waiting


def test_unavailable_cluster_blocks_nothing(window: ClusterWindow, engine: InMemoryClusterQueue):
    engine.problem = OSError("gone")
    assert window.update([task("a")], OFFERS, {}, Claims()) == 0


def test_reason_of_the_cluster_is_shown_while_it_answers(window: ClusterWindow, engine: InMemoryClusterQueue):
    until = Reason.of("Slurm expects them about noon", "slurm_resources_until")
    turn(window, task("a"))
    assert window.why(task("a")) is None
    engine.waiting["a.1"] = replace(engine.waiting["a.1"], reason=until)
    turn(window, task("a"))
    assert window.why(task("a")) == until
    engine.problem = OSError("gone")
    turn(window, task("a"))
    assert window.why(task("a")) is None


def test_task_rejected_by_the_cluster_leaves_its_position_to_others(
    window: ClusterWindow, engine: InMemoryClusterQueue, clock: FakeClock
):
    engine.rejected.add("a.1")
    for _ in range(2):
        turn(window, task("a"), task("b"), task("c"))
    assert list(engine.waiting) == ["b.1", "c.1"]
    engine.rejected.clear()
    clock.advance(REST_SECONDS)
    turn(window, task("a"), task("b"))
    turn(window, replace(task("a"), priority=1), task("b"))
    assert set(engine.waiting) == {"a.1", "b.1"}


def test_waiting_job_gets_nodes_that_have_returned(engine: InMemoryClusterQueue, clock: FakeClock):
    window = open_window(engine, clock, {"n1": 2, "n2": 2})
    turn(window, task("a"))
    others = [replace(each, node="n2", uuid=f"GPU-2{each.index}") for each in OFFERS]
    turn(window, task("a"), offers=[*OFFERS, *others])
    assert engine.waiting["a.1"].nodes == {"n1", "n2"}
    assert len(engine.requests) == 1, "it keeps its turn"
