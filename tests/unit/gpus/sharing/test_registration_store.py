"""The contract of registration stores, in memory and in the database."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from api.db.database import Database
from api.domain.tasks.task import Keep, ProcessIdentity, RegisteredTask, TaskType
from api.errors import GPUBusy, TaskExists, TaskNotFound
from api.gpus.sharing.registration_store import DatabaseRegistrations, MemoryRegistrations, Registrations
from api.util.clock import FakeClock
from tests.databases import BACKENDS, empty
from tests.unit.db.builders import NODE, NOW

GPUS = [f"GPU-{i}" for i in range(8)]


def task(task_id: str, *uuids: str) -> RegisteredTask:
    return RegisteredTask(task_id=task_id, task_type=TaskType.TRAINING, gpu_uuids=uuids, started_at=NOW)


@pytest.fixture(params=["memory", *BACKENDS])
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of store."""
    return str(request.param)


@pytest.fixture
def new_store(backend: str, request: pytest.FixtureRequest) -> Callable[[], Registrations]:
    """Create an empty store."""
    if backend == "memory":
        return MemoryRegistrations
    database: Database = request.getfixturevalue("database")

    def make() -> Registrations:
        empty(database)
        return DatabaseRegistrations(database, NODE, FakeClock())

    return make


@pytest.fixture
def store(new_store: Callable[[], Registrations]) -> Registrations:
    return new_store()


def test_claimed_gpus_have_their_holder(store: Registrations):
    store.claim(task("a", "GPU-0", "GPU-1"))
    assert {uuid: holder.task_id for uuid, holder in store.holders().items()} == {"GPU-0": "a", "GPU-1": "a"}


def test_claim_of_a_held_gpu_names_the_holder(store: Registrations):
    store.claim(task("a", "GPU-0"))
    with pytest.raises(GPUBusy) as busy:
        store.claim(task("b", "GPU-1", "GPU-0"))
    assert busy.value.data == {"held_by": {"GPU-0": "a"}}


def test_refused_claim_changes_nothing(store: Registrations):
    store.claim(task("a", "GPU-0"))
    with pytest.raises(GPUBusy):
        store.claim(task("b", "GPU-1", "GPU-0"))
    assert [stored.task_id for stored in store.list()] == ["a"]
    assert list(store.holders()) == ["GPU-0"]


def test_second_task_with_an_id_is_refused(store: Registrations):
    store.claim(task("a", "GPU-0"))
    with pytest.raises(TaskExists) as exists:
        store.claim(task("a", "GPU-1"))
    assert exists.value.data == {"task_id": "a"}
    assert "GPU-1" not in store.holders()


def test_released_gpus_can_be_claimed_again(store: Registrations):
    store.claim(task("a", "GPU-0"))
    assert store.release("a").gpu_uuids == ("GPU-0",)
    store.claim(task("b", "GPU-0"))
    assert store.holders()["GPU-0"].task_id == "b"


def test_progress_changes_only_given_values(store: Registrations):
    store.claim(task("a", "GPU-0"))
    store.update_progress("a", 10.0, 600.0, NOW)
    changed = store.update_progress("a", 20.0, Keep.KEEP, NOW)
    assert (changed.progress, changed.estimated_remaining_time, changed.updated_at) == (20.0, 600.0, NOW)


def test_progress_of_none_is_unknown(store: Registrations):
    store.claim(task("a", "GPU-0"))
    store.update_progress("a", 10.0, 600.0, NOW)
    changed = store.update_progress("a", Keep.KEEP, None, NOW)
    assert (changed.progress, changed.estimated_remaining_time) == (10.0, None)


def test_progress_of_zero_is_a_value(store: Registrations):
    store.claim(task("a", "GPU-0"))
    store.update_progress("a", 10.0, 600.0, NOW)
    changed = store.update_progress("a", 0.0, 0.0, NOW)
    assert (changed.progress, changed.estimated_remaining_time) == (0.0, 0.0)


def test_holders_show_the_progress(store: Registrations):
    store.claim(task("a", "GPU-0"))
    store.update_progress("a", 10.0, None, NOW)
    assert store.holders()["GPU-0"].progress == 10.0


def test_unknown_task_is_not_found(store: Registrations):
    with pytest.raises(TaskNotFound):
        store.get("a")
    with pytest.raises(TaskNotFound):
        store.release("a")
    with pytest.raises(TaskNotFound):
        store.update_progress("a", 1.0, None, NOW)


def test_registration_is_read_as_it_was_stored(store: Registrations):
    given = RegisteredTask(
        "a", TaskType.EXTERNAL, ("GPU-1", "GPU-0"), NOW, description="mine", process=ProcessIdentity(7, 1.5)
    )
    stored = store.claim(given)
    assert stored == replace(given, serial=stored.serial)
    assert (store.get("a"), store.list()) == (stored, (stored,))
    assert store.holders() == {"GPU-0": stored, "GPU-1": stored}
    assert store.release("a") == stored


def test_serial_numbers_are_never_reused(store: Registrations):
    serials = []
    for name in ("a", "b", "c"):
        serials.append(store.claim(task(name, "GPU-0")).serial)
        store.release(name)
    assert serials == sorted(set(serials))


def test_id_of_a_released_task_can_be_reused(store: Registrations):
    store.claim(task("a", "GPU-0"))
    store.update_progress("a", 10.0, None, NOW)
    store.release("a")
    assert store.claim(task("a", "GPU-1")).progress is None


def test_one_of_many_concurrent_releases_succeeds(store: Registrations):
    store.claim(task("a", "GPU-0"))
    together = threading.Barrier(8)

    def release(_: int) -> bool:
        together.wait()
        try:
            store.release("a")
        except TaskNotFound:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(release, range(8))) == [False] * 7 + [True]


def test_tasks_are_listed_oldest_first(store: Registrations):
    for name in ("c", "a", "b"):
        store.claim(task(name, f"GPU-{name}"))
    assert [stored.task_id for stored in store.list()] == ["c", "a", "b"]


def test_many_concurrent_claims_give_each_gpu_one_holder(store: Registrations, backend: str):
    claims = 2000 if backend == "memory" else 96
    together = threading.Barrier(16)
    won: list[str] = []

    def claim_many(first: int) -> None:
        together.wait()
        for number in range(first, claims, 16):
            try:
                store.claim(task(f"t{number}", GPUS[number % 8]))
            except GPUBusy:
                continue
            won.append(f"t{number}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(claim_many, range(16)))
    assert len(won) == 8
    assert sorted(store.holders()) == GPUS
    assert sorted(holder.task_id for holder in store.holders().values()) == sorted(won)


def test_overlapping_concurrent_claims_never_split_a_pair(store: Registrations, backend: str):
    turns = 200 if backend == "memory" else 8
    together = threading.Barrier(8)

    def claim_and_release(number: int) -> list[int]:
        sizes = []
        together.wait()
        for turn in range(turns):
            name = f"t{number}-{turn}"
            try:
                store.claim(task(name, GPUS[number], GPUS[(number + 1) % 8]))
            except GPUBusy:
                continue
            sizes.append(sum(holder.task_id == name for holder in store.holders().values()))
            store.release(name)
        return sizes

    with ThreadPoolExecutor(8) as pool:
        sizes = [size for found in pool.map(claim_and_release, range(8)) for size in found]
    assert set(sizes) == {2}
    assert store.holders() == {}


class StoreMachine(RuleBasedStateMachine):
    """Any sequence of claims, releases and progress, compared with a dictionary."""

    names = st.sampled_from(["a", "b", "c", "d"])

    def __init__(self, store: Registrations) -> None:
        super().__init__()
        self.store = store
        self.model: dict[str, tuple[str, ...]] = {}
        self.progress: dict[str, float] = {}

    @rule(name=names, uuids=st.lists(st.sampled_from(GPUS), min_size=1, max_size=4, unique=True))
    def claim(self, name: str, uuids: list[str]) -> None:
        held = {uuid for stored in self.model.values() for uuid in stored}
        try:
            self.store.claim(task(name, *uuids))
        except TaskExists:
            assert name in self.model
        except GPUBusy as busy:
            assert set(busy.data["held_by"]) == held & set(uuids) != set()  # noqa: PT017
        else:
            assert name not in self.model
            assert not held & set(uuids)
            self.model[name] = tuple(uuids)

    @rule(name=names)
    def release(self, name: str) -> None:
        try:
            assert self.store.release(name).gpu_uuids == self.model.pop(name, None)
            self.progress.pop(name, None)
        except TaskNotFound:
            assert name not in self.model

    @rule(name=names, progress=st.floats(0, 100))
    def tell_progress(self, name: str, progress: float) -> None:
        try:
            self.store.update_progress(name, progress, None, NOW)
        except TaskNotFound:
            assert name not in self.model
        else:
            self.progress[name] = progress

    @invariant()
    def store_is_the_model(self) -> None:
        assert {stored.task_id: stored.gpu_uuids for stored in self.store.list()} == self.model
        assert {stored.task_id: stored.progress for stored in self.store.list()} == {
            name: self.progress.get(name) for name in self.model
        }

    @invariant()
    def each_gpu_has_at_most_one_holder(self) -> None:
        claimed = [uuid for stored in self.store.list() for uuid in stored.gpu_uuids]
        assert len(claimed) == len(set(claimed))
        assert set(claimed) == set(self.store.holders())


def test_any_sequence_behaves_like_a_dictionary(new_store: Callable[[], Registrations], backend: str):
    examples, steps = {"memory": (60, 30), "sqlite": (12, 20), "postgresql": (6, 20)}[backend]
    how = settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    run_state_machine_as_test(lambda: StoreMachine(new_store()), settings=how)
