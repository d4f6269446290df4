"""The queue of a machine and the check of a request, with a real database and fake GPUs."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.db.database import Database, sqlite_url
from api.domain.machines.lease import LeaseKind
from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import GPURequest, NewTask, StopState, TaskSummary, TrainingPlan, TrainingRequest
from api.errors import InsufficientGPUs, InsufficientStorage, Invalid
from api.executors.fake import FakeExecutor
from api.executors.ports import FIRST_PORT
from api.files.task_files import TaskStorage
from api.gpus.service import GPUService
from api.gpus.sharing.hold_store import HoldStore
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.gpus.sources.source import FakeSource
from api.trainers.toy.trainer import Toy
from api.training.attempts.outcomes import LONGEST_WAIT
from api.training.check import MASK, RequestChecker
from api.training.intake import preview
from api.training.output.written import TrainingOutput
from api.training.queue.claims import AttemptClaims
from api.training.queue.closures import Closures
from api.training.queue.dispatcher import DECISION_SECONDS, Dispatcher, WaitingReasons
from api.training.queue.planner import PassPlanner, PlacementRules, RetryWaits
from api.training.queue.scheduler import Pass
from api.training.queue.slots import SlotLimits
from api.training.records.attempt_store import AttemptStore, TaskStores
from api.training.records.task_store import TaskStore
from api.training.schedule.store import ScheduleStore
from api.util.clock import FakeClock
from api.util.measures import queue_waits
from tests.unit.observed import observed
from tests.unit.training.builders import create_checker

TRAINERS = {"toy": Toy()}


@dataclass
class Machine:
    """Four GPUs and a queue without running tasks."""

    tasks: TaskStore
    attempts: AttemptStore
    gpus: GPUService
    dispatcher: Dispatcher
    executor: FakeExecutor
    checker: RequestChecker
    clock: FakeClock

    def new(self, task_id: str, **options: Any) -> NewTask:
        gpus = GPURequest(options.pop("references", ()), options.pop("count", 1), options.pop("min_memory", 0))
        training_request = TrainingRequest("toy", gpus, config={"epochs": 1}, **options)
        _, plan = self.checker.check(training_request, task_id).require()
        return NewTask(task_id, "toy", training_request, plan)

    def put(self, task_id: str, **options: Any) -> None:
        self.tasks.create(self.new(task_id, **options), self.clock.now(), "test")
        self.clock.advance(1)

    def status(self, task_id: str) -> str:
        return self.tasks.get(task_id).status


@pytest.fixture
def machine(tmp_path: Path, clock: FakeClock) -> Iterator[Machine]:
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    tasks, attempts = TaskStore(database), AttemptStore(database)
    gpus = GPUService(FakeSource(4), DatabaseRegistrations(database, "here", clock), clock, max_age=10_000)
    gpus._monitor.sweep()
    executor = FakeExecutor()
    storage, stores = TaskStorage(tmp_path), TaskStores(tasks, attempts)
    closures = Closures(HoldStore(database), ScheduleStore(database), clock)
    planner = PassPlanner(stores, gpus, closures, storage, clock, rules=PlacementRules(slots=SlotLimits(2)))
    claims = AttemptClaims(attempts, TrainingOutput(storage, TRAINERS), executor, gpus, clock)
    queue = Dispatcher(stores, planner, claims, gpus, clock)
    yield Machine(tasks, attempts, gpus, queue, executor, create_checker(TRAINERS, gpus, tmp_path), clock)
    gpus.stop_monitoring()
    database.close()


def test_waiting_tasks_get_gpus_ports_and_a_directory(machine: Machine, tmp_path: Path):
    machine.put("a", count=2)
    machine.put("b")
    assert machine.dispatcher.dispatch() == 2
    one, other = machine.attempts.of_task("a")[0], machine.attempts.of_task("b")[0]
    assert (one.gpu_indices, other.gpu_indices) == ((0, 1), (2,))
    assert one.master_port != other.master_port
    assert (one.node, other.node) == ("here", "here")
    assert one.directory == str(tmp_path / "tasks" / "a" / "attempts" / "1")
    assert (machine.status("a"), machine.status("b")) == ("starting", "starting")
    assert machine.dispatcher.dispatch() == 0


def test_higher_priority_then_age_comes_first(machine: Machine):
    machine.put("old", count=4)
    machine.put("older still", count=4)
    machine.put("urgent", count=4, priority=1)
    assert machine.dispatcher.dispatch() == 1
    assert machine.status("urgent") == "starting"
    assert "go to urgent" in str(machine.dispatcher.why_waiting(machine.tasks.get_summary("old")))


def test_planning_changes_nothing(machine: Machine):
    machine.put("a")
    assert len(machine.dispatcher._planner.plan(machine.tasks.queued()).assignments) == 1
    assert machine.status("a") == "queued"
    assert machine.attempts.leases() == []


def test_reading_waiting_reasons_does_not_affect_the_loop(machine: Machine):
    for task_id in ("a", "b", "c"):
        machine.put(task_id, count=3)
    machine.dispatcher.dispatch()
    waiting = machine.tasks.queued()

    def seen() -> tuple[object, ...]:
        queue = machine.dispatcher
        return queue.reasons._published, queue._planner.waits._due, queue._rests_until, machine.attempts.leases()

    def ask(_: int) -> set[str]:
        return {str(machine.dispatcher.why_waiting(task)) for task in waiting}

    for age in (0.0, 60.0):  # a recent pass of the loop, and an outdated one
        machine.clock.advance(age)
        before = seen()
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(100)))
        assert seen() == before
        assert seen()[0] is before[0]
        assert answers == [answers[0]] * 100


def test_concurrent_readers_share_one_pass(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    machine.put("a", count=4)
    machine.put("b", count=4)
    machine.dispatcher.dispatch()
    machine.clock.advance(60)
    passes: list[int] = []
    planner = machine.dispatcher._planner
    plan = planner.plan
    monkeypatch.setattr(planner, "plan", lambda queue: passes.append(1) or plan(queue))
    (task,) = machine.tasks.queued()
    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(lambda _: str(machine.dispatcher.why_waiting(task)), range(50)))
    assert (len(passes), len(answers)) == (1, 1)


def test_published_pass_is_immutable(machine: Machine):
    machine.put("a", count=4)
    machine.put("b", count=4)
    decided = machine.dispatcher._planner.plan(machine.tasks.queued())
    with pytest.raises(TypeError):
        decided.waiting["b"] = decided.waiting["b"]  # type: ignore[index]


def test_running_task_has_no_waiting_reason(machine: Machine):
    machine.put("a")
    machine.dispatcher.dispatch()
    assert machine.dispatcher.why_waiting(machine.tasks.get_summary("a")) is None


def test_task_stopped_in_the_meantime_is_not_claimed(machine: Machine):
    machine.put("a")
    (task,) = machine.tasks.queued()
    machine.tasks.request_stop("a", StopState(machine.clock.now(), "test", False, None), machine.clock.now(), "")
    assert machine.dispatcher._claims.claim(task, machine.dispatcher._planner.plan([task]).assignments[0].gpus) is False
    assert machine.attempts.leases() == []


def test_each_attempt_has_a_free_port(machine: Machine):
    machine.executor.occupies_ports(FIRST_PORT)
    machine.put("a")
    machine.put("b")
    machine.dispatcher.dispatch()
    held = sorted(int(lease.resource.rpartition(":")[2]) for lease in machine.attempts.leases(LeaseKind.PORT))
    assert held == [FIRST_PORT + 1, FIRST_PORT + 2]


# -- the check of a request ----------------------------------------------------------------------------------------


def request(**options: Any) -> TrainingRequest:
    gpus = {name: options.pop(name) for name in ("references", "count", "min_memory", "is_single") if name in options}
    return TrainingRequest(options.pop("model_type", "toy"), GPURequest(**gpus), **{"config": {"epochs": 1}, **options})


def test_valid_request_has_a_trainer_and_a_plan(machine: Machine):
    trainer, plan = machine.checker.check(request(), "a").require()
    assert (trainer.name, plan.total_steps) == ("toy", 40)


def test_all_errors_are_found_at_once(machine: Machine):
    wrong = request(references=(0, 9), env={"LD_PRELOAD": "x"}, config={"epochs": 0, "bogus": 1})
    with pytest.raises(Invalid) as refused:
        machine.checker.check(wrong, "a").require()
    pointers = {mistake.pointer for mistake in refused.value.mistakes}
    assert pointers == {"/gpu_ids/1", "/env/LD_PRELOAD", "/config/epochs", "/config/bogus"}


def test_unknown_model_type_does_not_hide_other_errors(machine: Machine):
    found = machine.checker.check(request(model_type="toi", references=("x",), is_single=True), "a")
    assert [mistake.pointer for mistake in found.errors] == ["/model_type", "/gpu_id"]


@pytest.mark.parametrize(
    "options",
    [
        {"count": 5},
        {"min_memory": 24_577},
        {"count": 4, "min_memory": 24_577},
        {"references": (0,), "min_memory": 10**6},
    ],
)
def test_request_larger_than_the_machine_is_a_problem_not_an_error(machine: Machine, options: dict[str, Any]):
    found = machine.checker.check(request(**options), "a")
    assert (found.errors, len(found.problems)) == ((), 1)
    with pytest.raises(InsufficientGPUs):
        found.require()


def test_request_for_the_whole_machine_is_valid(machine: Machine):
    machine.checker.check(request(count=4, min_memory=24_576), "a").require()


def test_lack_of_disk_space_is_a_problem(machine: Machine, tmp_path: Path):
    checker = create_checker(TRAINERS, machine.gpus, tmp_path, 2**40)
    with pytest.raises(InsufficientStorage):
        checker.check(request(), "a").require()


def test_secrets_are_removed_from_the_request(machine: Machine):
    found = machine.checker.check(request(env={"HF_TOKEN": "hf_1", "NCCL_DEBUG": "INFO"}), "a")
    assert found.request.env == {"HF_TOKEN": MASK, "NCCL_DEBUG": "INFO"}
    assert found.secrets == {"HF_TOKEN": "hf_1"}
    assert "hf_1" not in repr(found)


def test_request_with_masked_secrets_can_be_checked_again(machine: Machine):
    first = machine.checker.check(request(env={"HF_TOKEN": "hf_1"}), "a")
    again = machine.checker.check(first.request, "a")
    assert (again.errors, again.secrets, again.request) == ((), {}, first.request)


def test_task_without_gpus_starts_without_gpus_and_port(machine: Machine):
    for number in range(3):
        training_request = TrainingRequest("wan", GPURequest(count=0))
        plan = TrainingPlan("toy", "wan", 0)
        new = NewTask(f"e{number}", "toy", training_request, plan, kind=TaskType.PREPROCESSING)
        machine.tasks.create(new, machine.clock.now(), "test")
    assert machine.dispatcher.dispatch() == 2
    started = machine.attempts.of_task("e0")[0]
    assert (started.gpu_uuids, started.master_port, started.node) == ((), None, "here")
    assert machine.attempts.leases() == []
    assert machine.status("e2") == "queued"


def test_waiting_time_of_a_task_is_measured(machine: Machine):
    before = observed(queue_waits, "training")
    machine.put("t1")
    machine.clock.advance(42)
    machine.dispatcher.dispatch()
    assert observed(queue_waits, "training") == before + 1
    (family,) = queue_waits.collect()
    waited = [each.exemplar.value for each in family.samples if each.exemplar]
    assert 43.0 in waited


def task(clock: FakeClock, wait: float) -> TaskSummary:
    made = preview("t", TrainingRequest("toy"), TrainingPlan("toy", "toy", 1), clock.now())
    return replace(made, retry_not_before=clock.now() + timedelta(seconds=wait))


def wait_of(waits: RetryWaits, clock: FakeClock, waiting: TaskSummary) -> float:
    waits.start([waiting])
    return (waits.steady([waiting])[0].retry_not_before - clock.now()).total_seconds()


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0, -15.0])
def test_wait_is_independent_of_the_wall_clock(clock: FakeClock, jump: float):
    waits, waiting = RetryWaits(clock), task(clock, 30)
    assert wait_of(waits, clock, waiting) == 30
    clock.advance(10)
    clock.jump(jump)
    assert wait_of(waits, clock, waiting) == 20
    clock.advance(21)
    assert wait_of(waits, clock, waiting) == 0


def test_wait_longer_than_any_retry_is_not_measured(clock: FakeClock):
    waiting = task(clock, LONGEST_WAIT + 1)
    assert RetryWaits(clock).steady([waiting]) == [waiting]


def test_wait_of_a_task_that_left_the_queue_is_forgotten(clock: FakeClock):
    waits, waiting = RetryWaits(clock), task(clock, 30)
    waits.start([waiting])
    waits.start([])
    clock.jump(-20)
    assert wait_of(waits, clock, waiting) == 50


def test_reading_neither_starts_nor_ends_a_wait(clock: FakeClock):
    waits, noted, asked = RetryWaits(clock), task(clock, 30), replace(task(clock, 40), task_id="asked")
    waits.start([noted])
    waits.steady([asked])
    clock.jump(-20)
    again, other = waits.steady([noted, asked])
    assert (again.retry_not_before - clock.now()).total_seconds() == 30
    assert (other.retry_not_before - clock.now()).total_seconds() == 60


def a_pass(text: str) -> Pass:
    return Pass(waiting={"a": Reason.of(text, "some")})


def planning(text: str, made: list[int]) -> Callable[[], Pass]:
    def plan() -> Pass:
        made.append(1)
        return a_pass(text)

    return plan


def test_published_pass_is_used_while_it_is_recent(clock: FakeClock):
    made: list[int] = []
    reasons = WaitingReasons(clock, planning("as asked", made))
    reasons.publish(a_pass("as published"))
    clock.advance(DECISION_SECONDS)
    assert (reasons.get("a").text, made) == ("as published", [])
    clock.advance(0.1)
    assert (reasons.get("a").text, made) == ("as asked", [1])


def test_task_queued_after_the_pass_gets_that_reason(clock: FakeClock):
    reasons = WaitingReasons(clock, Pass)
    reasons.publish(a_pass("as published"))
    assert reasons.get("new").text == "it was queued a moment ago"
