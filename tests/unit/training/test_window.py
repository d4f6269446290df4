"""The window of the queue into which an engine may look, over an engine in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.engine import EngineWishes
from api.domain.gpu import GPUOffer, GPUStatus
from api.domain.reason import Reason
from api.domain.training import GPURequest, TaskSummary, TrainingPlan, TrainingRequest
from api.executors.executor import AheadOfTurn, GivenAhead
from api.files.task_files import TaskFiles
from api.training.preview import preview
from api.training.window import ASTRAY_SECONDS, CLAIM_SECONDS, REST_SECONDS, Engine, EngineWindow
from api.util.clock import FakeClock


class EngineInMemory:
    """Keeps what waits there in `there`, by uid."""

    def __init__(self) -> None:
        self.there: dict[str, GivenAhead] = {}
        self.asked: list[AheadOfTurn] = []
        self.begun: set[str] = set()
        self.starting: set[str] = set()
        self.submitted: set[str] = set()
        self.refused: set[str] = set()
        self.problem: OSError | None = None

    def list(self) -> Mapping[str, GivenAhead]:
        if self.problem is not None:
            raise self.problem
        return self.there

    def has_job(self, uid: str) -> bool:
        return uid in self.submitted

    def hand_over(self, wanted: AheadOfTurn) -> bool:
        if wanted.uid in self.refused:
            raise OSError("no such account")
        self.asked.append(wanted)
        self.there[wanted.uid] = GivenAhead(len(self.asked), nodes=wanted.nodes)
        return True

    def widen(self, uid: str, nodes: frozenset[str]) -> None:
        self.there[uid] = replace(self.there[uid], nodes=nodes)

    def take_back(self, uids: Sequence[str]) -> None:
        for uid in uids:
            del self.there[uid]

    def gives(self, uid: str, *gpus: int) -> None:
        self.there[uid] = replace(self.there[uid], node="n1", gpu_indices=gpus)


@pytest.fixture
def engine() -> EngineInMemory:
    return EngineInMemory()


@pytest.fixture
def window(engine: EngineInMemory, clock: FakeClock) -> EngineWindow:
    return open_window(engine, clock, {"n1": 2}, {"a": EngineWishes(qos="high")})


def open_window(
    engine: EngineInMemory,
    clock: FakeClock,
    machines: Mapping[str, int],
    wishes: Mapping[str, EngineWishes] | None = None,
    size: int = 2,
) -> EngineWindow:
    seam = Engine(engine, lambda: engine.begun, lambda: engine.starting, lambda: machines, lambda: wishes or {})
    return EngineWindow(seam, size, lambda task_id: TaskFiles(Path("/storage") / task_id), clock)


def task(name: str, count: int = 1, **wishes: object) -> TaskSummary:
    asked = TrainingRequest("toy", GPURequest(count=count, **wishes))  # type: ignore[arg-type]
    return preview(name, asked, TrainingPlan("toy", "toy", count), FakeClock().now())


def gpu(index: int, reason: Reason | None = None, held_by: str | None = None, mb: int = 24_000) -> GPUOffer:
    is_free = reason is None and held_by is None
    status = GPUStatus.AVAILABLE if is_free else GPUStatus.BUSY
    return GPUOffer("n1", index, f"GPU-{index}", None, mb, mb, is_free, status, reason, held_by)


OTHERS_JOB = Reason.of("Slurm's job {job} of {user} has it", "slurm_job", job=3, user="eve")
OFFERS = (gpu(0, OTHERS_JOB), gpu(1, held_by="x"))


class Claims:
    """Notes what is claimed, and lets it be as `succeeds` says."""

    def __init__(self, succeeds: bool = True) -> None:
        self.made: list[tuple[str, list[int]]] = []
        self._succeeds = succeeds

    def __call__(self, task: TaskSummary, gpus: Sequence[GPUOffer]) -> bool:
        self.made.append((task.task_id, [each.index for each in gpus]))
        return self._succeeds


def turn(window: EngineWindow, *short: TaskSummary, offers: Sequence[GPUOffer] = OFFERS) -> Claims:
    claims = Claims()
    window.turn(short, offers, {}, claims)
    return claims


def test_the_first_that_wait_for_gpus_wait_there_too_and_no_more(window: EngineWindow, engine: EngineInMemory):
    turn(window, task("a"), task("b"), task("c"))
    assert list(engine.there) == ["a.1", "b.1"]
    assert engine.asked[0] == AheadOfTurn(
        "a.1", Path("/storage/a/attempts/1"), 1, frozenset({"n1"}), EngineWishes(qos="high")
    )
    turn(window, task("a"), task("b"), task("c"))
    assert len(engine.asked) == 2


def test_none_waits_there_where_the_window_is_shut(engine: EngineInMemory, clock: FakeClock):
    engine.there["a.1"] = GivenAhead(1)
    turn(open_window(engine, clock, {"n1": 2}, size=0), task("a"))
    assert not engine.there


def test_who_waits_no_more_is_taken_back(window: EngineWindow, engine: EngineInMemory):
    turn(window, task("a"), task("b"))
    turn(window, task("b"), task("c"))
    assert list(engine.there) == ["b.1", "c.1"]
    turn(window)
    assert not engine.there
    turn(window)
    assert not window.is_open


def test_equals_keep_their_turns_there_whoever_is_next_here_now(window: EngineWindow, engine: EngineInMemory):
    turn(window, task("a"), task("b"))
    turn(window, task("c"), task("b"), task("a"))
    assert {uid: given.number for uid, given in engine.there.items()} == {"a.1": 1, "b.1": 2}


def test_who_has_a_higher_priority_now_waits_before_others_there(window: EngineWindow, engine: EngineInMemory):
    turn(window, task("a"), task("b"))
    turn(window, replace(task("b"), priority=5), task("a"))
    assert sorted(engine.there, key=lambda uid: engine.there[uid].number) == ["b.1", "a.1"]


def test_a_task_is_claimed_on_the_gpus_that_it_was_given(window: EngineWindow, engine: EngineInMemory):
    turn(window, task("a"), task("b"))
    engine.gives("b.1", 1)
    assert turn(window, task("a"), task("b")).made == [("b", [1])]
    engine.begun.add("b.1")
    turn(window, task("a"))
    assert "b.1" in engine.there, "it is the attempt's own now"


def test_a_claim_is_tried_for_a_while_and_then_the_gpus_go_back(
    window: EngineWindow, engine: EngineInMemory, clock: FakeClock
):
    turn(window, task("a"))
    engine.gives("a.1", 0)
    for seconds in (0, CLAIM_SECONDS - 1):
        clock.advance(seconds)
        window.turn([task("a")], OFFERS, {}, Claims(succeeds=False))
        assert "a.1" in engine.there
    for seconds in (1, REST_SECONDS - 1):
        clock.advance(seconds)
        window.turn([task("a")], OFFERS, {}, Claims(succeeds=False))
        assert not engine.there
    clock.advance(1)
    turn(window, task("a"))
    assert "a.1" in engine.there


def test_who_was_given_gpus_of_a_machine_that_lost_its_storage_gets_others_elsewhere(
    engine: EngineInMemory, clock: FakeClock
):
    window = open_window(engine, clock, {"n1": 2, "n2": 1})
    elsewhere = replace(gpu(0, OTHERS_JOB), node="n2", uuid="GPU-9")
    lost = Reason.of("its machine does not share STORAGE_ROOT", "storage_not_shared")
    turn(window, task("a"), offers=(*OFFERS, elsewhere))
    engine.gives("a.1", 0)
    now = (gpu(0, lost), gpu(1, lost), elsewhere)
    window.turn([task("a")], now, {}, Claims(succeeds=False))
    clock.advance(ASTRAY_SECONDS - 1)
    # One that is back at once keeps what it has.
    window.turn([task("a")], (*OFFERS, elsewhere), {}, Claims(succeeds=False))
    window.turn([task("a")], now, {}, Claims(succeeds=False))
    clock.advance(ASTRAY_SECONDS - 1)
    window.turn([task("a")], now, {}, Claims(succeeds=False))
    assert engine.there["a.1"].node == "n1"
    clock.advance(1)
    window.turn([task("a")], now, {}, Claims(succeeds=False))
    assert (engine.there["a.1"].node, engine.asked[-1].nodes) == ("", {"n2"})


def test_nothing_is_submitted_ahead_while_a_claimed_attempt_has_no_job(window: EngineWindow, engine: EngineInMemory):
    engine.starting = {"x.1", "y.1"}
    engine.submitted = {"x.1"}
    turn(window, task("a"), task("b"))
    assert not engine.there
    assert window.is_open
    engine.submitted.add("y.1")
    turn(window, task("a"), task("b"))
    assert list(engine.there) == ["a.1", "b.1"]


def test_a_job_ahead_gives_back_gpus_that_are_leased_to_another_attempt(
    window: EngineWindow, engine: EngineInMemory, clock: FakeClock
):
    turn(window, task("a"), task("b"))
    engine.gives("a.1", 1)
    leased = (gpu(0, OTHERS_JOB), gpu(1, held_by="x"))
    window.turn([task("a"), task("b")], leased, {}, Claims(succeeds=False))
    clock.advance(ASTRAY_SECONDS - 1)
    window.turn([task("a"), task("b")], leased, {}, Claims(succeeds=False))
    assert engine.there["a.1"].node == "n1"
    clock.advance(1)
    window.turn([task("a"), task("b")], leased, {}, Claims(succeeds=False))
    # It waits there again, behind the job of the attempt that has the GPU.
    assert (engine.there["a.1"].node, engine.asked[-1].uid) == ("", "a.1")


@pytest.mark.parametrize(
    "given",
    [replace(gpu(1, held_by="x"), status=GPUStatus.DRAINING), gpu(1, held_by="a")],
    ids=["drains", "was its own task's"],
)
def test_a_job_ahead_keeps_gpus_that_its_task_can_claim_soon(
    window: EngineWindow, engine: EngineInMemory, clock: FakeClock, given: GPUOffer
):
    turn(window, task("a"))
    engine.gives("a.1", 1)
    for _ in range(2):
        window.turn([task("a")], (gpu(0, OTHERS_JOB), given), {}, Claims(succeeds=False))
        clock.advance(CLAIM_SECONDS / 2)
    assert engine.there["a.1"].node == "n1"


def test_gpus_that_were_given_to_who_has_left_the_queue_go_back(window: EngineWindow, engine: EngineInMemory):
    turn(window, task("a"))
    engine.gives("a.1", 0)
    assert turn(window, task("b")).made == []
    assert list(engine.there) == ["b.1"]


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
def test_a_machine_that_could_give_a_wrong_gpu_is_left_out(
    window: EngineWindow, engine: EngineInMemory, wanted: TaskSummary, offers: Sequence[GPUOffer]
):
    turn(window, wanted, offers=offers)
    assert not engine.there


def test_an_engine_that_does_not_answer_keeps_nobody_from_anything(window: EngineWindow, engine: EngineInMemory):
    engine.problem = OSError("gone")
    assert window.turn([task("a")], OFFERS, {}, Claims()) == 0


def test_what_the_engine_expects_is_told_while_it_answers(window: EngineWindow, engine: EngineInMemory):
    until = Reason.of("Slurm expects them about noon", "slurm_resources_until")
    turn(window, task("a"))
    assert window.why(task("a")) is None
    engine.there["a.1"] = replace(engine.there["a.1"], reason=until)
    turn(window, task("a"))
    assert window.why(task("a")) == until
    engine.problem = OSError("gone")
    turn(window, task("a"))
    assert window.why(task("a")) is None


def test_one_that_the_engine_refuses_leaves_its_place_to_others(
    window: EngineWindow, engine: EngineInMemory, clock: FakeClock
):
    engine.refused.add("a.1")
    for _ in range(2):
        turn(window, task("a"), task("b"), task("c"))
    assert list(engine.there) == ["b.1", "c.1"]
    engine.refused.clear()
    clock.advance(REST_SECONDS)
    turn(window, task("a"), task("b"))
    turn(window, replace(task("a"), priority=1), task("b"))
    assert set(engine.there) == {"a.1", "b.1"}


def test_who_waits_there_learns_of_machines_that_have_come_back(engine: EngineInMemory, clock: FakeClock):
    window = open_window(engine, clock, {"n1": 2, "n2": 2})
    turn(window, task("a"))
    there = [replace(each, node="n2", uuid=f"GPU-2{each.index}") for each in OFFERS]
    turn(window, task("a"), offers=[*OFFERS, *there])
    assert engine.there["a.1"].nodes == {"n1", "n2"}
    assert len(engine.asked) == 1, "it keeps its turn"
