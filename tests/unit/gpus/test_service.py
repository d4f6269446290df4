"""The service on a fake source, from a sweep to the answers."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from api.domain.machines.gpu import GPUStatus
from api.domain.machines.gpu_event import EventType
from api.domain.machines.history import Metric
from api.domain.machines.reading import FaultKind, SourceName, XidEvent
from api.domain.tasks.task import TaskType
from api.errors import GPUNotFound, TaskNotFound
from api.gpus.service import READY_SWEEPS, GPUService, find_available, judge_readiness, needed_memory
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sources.auto import AutoSource
from api.gpus.sources.source import FakeSource, GPUFault, SourceFault
from api.gpus.state import GPUState
from api.trainers.diffusion_pipe.models.registry import ModelType, training_mb
from api.util.clock import FakeClock
from api.util.http.pagination import PageRequest
from tests.unit.builders import MONOTONIC, judged, lost, process, reading, snapshot, vitals
from tests.unit.gpus.fleets import fleet

Sweep = Callable[[], None]
LOST = GPUFault(FaultKind.LOST, "fell off the bus")
ALL = PageRequest(limit=500)


def statuses(service: GPUService) -> list[GPUStatus]:
    return [gpu.status for gpu in service.get_all_gpus()]


def events(service: GPUService, type_: EventType):
    return service.get_events(lambda event, node: event.type is type_, ALL).rows


def test_nothing_is_known_before_the_first_sweep(service: GPUService):
    status = service.get_status()
    assert (status.gpus, status.stale) == ((), True)
    assert service.get_readiness().reasons == ("the first sweep has not ended yet",)


def test_after_a_sweep_every_gpu_is_available(service: GPUService, sweep: Sweep):
    sweep()
    assert statuses(service) == [GPUStatus.AVAILABLE] * 2
    assert service.get_readiness().status == "ready"
    assert service.wait_for_first_sweep(0)


def test_monitoring_starts_and_stops(service: GPUService):
    service.start_monitoring()
    assert service.wait_for_first_sweep(20)
    assert len(service.get_all_gpus()) == 2


def test_stop_closes_the_source(service: GPUService, source: FakeSource, monkeypatch: pytest.MonkeyPatch):
    closed: list[int] = []
    monkeypatch.setattr(source, "close", lambda: closed.append(1))
    service.stop_monitoring()
    assert closed == [1]


def test_registered_task_is_shown_immediately(service: GPUService, source: FakeSource, sweep: Sweep):
    sweep()
    task = service.tasks.register([0], TaskType.TRAINING, "mine")
    assert statuses(service) == [GPUStatus.TRAINING, GPUStatus.AVAILABLE]
    assert task.gpu_ids == (0,)
    assert source.held[task.gpu_uuids[0]].task_id == "mine"


def test_held_gpu_is_not_offered(service: GPUService, sweep: Sweep):
    sweep()
    service.tasks.register([0], TaskType.TRAINING)
    assert [gpu.gpu_id for gpu in service.get_available_gpus().available_gpus] == [1]


def test_released_gpu_drains_until_its_memory_is_free(
    service: GPUService, source: FakeSource, sweep: Sweep, clock: FakeClock
):
    sweep()
    service.tasks.register([0], TaskType.TRAINING, "mine")
    source.set_memory(0, 20_000)
    source.processes[0] = (process(),)
    clock.advance(5)
    sweep()
    service.tasks.release("mine")
    assert statuses(service)[0] is GPUStatus.DRAINING
    source.set_memory(0, 400)
    source.processes[0] = ()
    clock.advance(5)
    sweep()
    assert statuses(service)[0] is GPUStatus.AVAILABLE


@pytest.mark.parametrize("reference", ["2", "-1", "", "None", "GPU-absent", "0 "])
def test_missing_gpu_is_not_found(service: GPUService, sweep: Sweep, reference: str):
    sweep()
    with pytest.raises(GPUNotFound) as missing:
        service.require(reference)
    assert missing.value.data == {"gpu_ids": [0, 1]}


def test_reading_becomes_stale_without_a_sweep(service: GPUService, sweep: Sweep, clock: FakeClock):
    sweep()
    clock.advance(10)
    service.check_freshness()
    assert not service.get_status().stale
    clock.advance(0.1)
    service.check_freshness()
    assert service.get_status().stale
    assert statuses(service) == [GPUStatus.UNKNOWN] * 2
    assert service.get_available_gpus().total_available == 0


def test_fresh_reading_ends_the_staleness(service: GPUService, sweep: Sweep, clock: FakeClock):
    sweep()
    clock.advance(11)
    service.check_freshness()
    sweep()
    assert statuses(service) == [GPUStatus.AVAILABLE] * 2


def test_hung_gpu_becomes_unknown_and_the_other_stays_available(
    service: GPUService, source: FakeSource, sweep: Sweep, clock: FakeClock
):
    sweep()
    release = threading.Event()
    source.before_read = lambda slot: release.wait(30) and None if slot == 0 else None
    try:
        for _ in range(3):
            clock.advance(5)
            sweep()
        assert statuses(service) == [GPUStatus.UNKNOWN, GPUStatus.AVAILABLE]
        assert "has not returned for" in (service.get_all_gpus()[0].status_reason or "")
        clock.advance(5)
        reasons = service.get_readiness().reasons
        assert any("GPU 0" in reason for reason in reasons)
    finally:
        release.set()


def test_old_sweep_makes_the_service_not_ready(service: GPUService, sweep: Sweep, clock: FakeClock):
    sweep()
    clock.advance(15)
    assert service.get_readiness().status == "ready"
    clock.advance(0.1)
    assert service.get_readiness().status == "not_ready"


def test_failing_source_makes_the_service_not_ready(service: GPUService, source: FakeSource, sweep: Sweep):
    sweep()
    source.problem = SourceFault("driver not loaded", "load it", 9)
    sweep()
    readiness = service.get_readiness()
    assert (readiness.status, readiness.reasons) == ("not_ready", ("driver not loaded: load it",))


def test_lost_gpu_does_not_make_the_service_not_ready(
    service: GPUService, source: FakeSource, sweep: Sweep, clock: FakeClock
):
    sweep()
    source.faults[0] = LOST
    for _ in range(5):
        clock.advance(5)
        sweep()
    assert service.get_readiness().status == "ready"


def test_xid_affects_health_and_metrics(service: GPUService, source: FakeSource, sweep: Sweep):
    sweep()
    source.xids.append(XidEvent(source.identities[0].uuid, 79))
    service.read_xids()
    assert statuses(service) == [GPUStatus.UNKNOWN, GPUStatus.AVAILABLE]
    assert [event.xid for event in events(service, EventType.XID)] == [79]
    document = service.documents.get("/metrics")
    assert document is not None
    assert b'xid="79"} 1' in document.body


def test_task_of_a_dead_process_is_released_at_the_next_sweep(
    service: GPUService, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
):
    sweep()
    service.tasks.register([0], TaskType.TRAINING, "mine", pid=os.getpid())
    monkeypatch.setattr(service._registry, "_is_running", lambda process: False)
    sweep()
    with pytest.raises(TaskNotFound):
        service.tasks.get("mine")
    (event,) = events(service, EventType.TASK)
    assert event.message == f"mine was released: its process {os.getpid()} has ended"


def test_tasks_on_simulated_gpus_end_when_real_ones_appear(service: GPUService, source: FakeSource, sweep: Sweep):
    source.name = SourceName.SIMULATED
    sweep()
    service.tasks.register([0], TaskType.TRAINING, "mine")
    source.name = SourceName.NVML
    source.identities = [replace(source.identities[0], uuid="GPU-real")]
    source.generation += 1
    sweep()
    assert service.tasks.list(ALL).rows == ()
    assert [gpu.uuid for gpu in service.get_all_gpus()] == ["GPU-real"]


def test_task_survives_a_failing_source(service: GPUService, source: FakeSource, sweep: Sweep):
    sweep()
    service.tasks.register([0], TaskType.TRAINING, "mine")
    source.problem = SourceFault("driver not loaded", "load it", 9)
    sweep()
    assert service.tasks.get("mine").gpu_ids == (0,)


def test_every_state_is_one_numbered_message(service: GPUService, sweep: Sweep):
    received: list[tuple[int, dict]] = []
    service.subscribe(lambda number, documents: received.append((number, json.loads(documents.message()))))
    sweep()
    service.tasks.register([0], TaskType.TRAINING, "mine")
    service.tasks.update_progress("mine", 5.0)
    service.tasks.release("mine")
    assert [number for number, _ in received] == [1, 2, 3, 4]
    assert {message["type"] for _, message in received} == {"snapshot"}
    progress = [message["data"]["gpus"][0]["current_task"] for _, message in received]
    assert [task and task["progress"] for task in progress] == [None, None, 5.0, None]


def test_history_has_one_sample_per_sweep(service: GPUService, sweep: Sweep, clock: FakeClock):
    began = clock.now()
    for _ in range(3):
        sweep()
        clock.advance(5)
    series = service.get_history("0", Metric.TEMPERATURE_GPU, began, began + timedelta(hours=1), None)
    assert [point.value for point in series.data] == [35, 35, 35]
    assert (series.unit, series.gpu_id) == ("°C", 0)


def test_history_of_a_hung_gpu_has_a_gap(service: GPUService, source: FakeSource, sweep: Sweep, clock: FakeClock):
    began = clock.now()
    sweep()
    source.faults[0] = GPUFault(FaultKind.UNREADABLE, "error 999")
    clock.advance(5)
    sweep()
    series = service.get_history("0", Metric.TEMPERATURE_GPU, began, began + timedelta(hours=1), None)
    assert [point.value for point in series.data] == [35, None]


def test_documents_of_a_sweep_are_built_in_advance(service: GPUService, sweep: Sweep):
    sweep()
    table = service.documents
    # Metrics are built on request.
    assert {path for path in table.paths if table.ready(path) is None} == {"/metrics", "/api/v1/metrics"}


def test_failing_real_gpus_do_not_leave_simulated_ones(clock: FakeClock):
    nvml, simulated, absent = FakeSource(count=2), FakeSource(count=4), [True]
    simulated.name = SourceName.SIMULATED
    nvml.problem = SourceFault("driver not loaded", "load it", 9)
    service = GPUService(AutoSource(lambda: nvml, simulated, lambda: absent[0]), MemoryRegistrations(), clock)
    service._monitor.sweep()
    service.tasks.register([0], TaskType.TRAINING)
    absent[0] = False
    service._monitor.sweep()
    status = service.get_status()
    assert (status.source, status.gpus) == (SourceName.NVML, ())
    assert "driver not loaded" in (status.source_problem or "")
    assert service.tasks.list(ALL).rows == ()
    nvml.problem = None
    service._monitor.sweep()
    assert len(service.get_all_gpus()) == 2
    service.stop_monitoring()


def test_burst_of_xids_is_one_message(service: GPUService, sweep: Sweep, source: FakeSource):
    sweep()
    numbers: list[int] = []
    service.subscribe(lambda number, message: numbers.append(number))
    uuid = source.identities[0].uuid
    source.xids = [XidEvent(uuid, xid) for xid in range(1, 61)]
    service.read_xids()
    assert len(numbers) == 1
    assert len(events(service, EventType.XID)) == 60


def test_temporarily_slow_driver_does_not_clear_an_xid(service: GPUService, sweep: Sweep, source: FakeSource):
    sweep()
    source.xids = [XidEvent(source.identities[0].uuid, 48)]
    service.read_xids()
    source.problem = SourceFault("a call to the driver has not returned for 2 s", "see dmesg")
    sweep()
    source.problem = None
    sweep()
    assert not service.get_all_gpus()[0].is_available


FLUX = ModelType("flux")


@pytest.mark.parametrize(
    ("task_type", "model_type", "needed"),
    [
        (None, None, 7),
        (TaskType.TRAINING, FLUX, training_mb(FLUX)),
        (TaskType.PREPROCESSING, FLUX, 7),
        (TaskType.TRAINING, ModelType.COSMOS, 7),
    ],
)
def test_model_needs_its_training_memory(task_type: TaskType | None, model_type: ModelType | None, needed: int | None):
    assert needed_memory(7, task_type, model_type) == needed


def test_gpus_of_all_machines_are_listed_by_free_memory():
    big = reading(1, processes=(), vitals=vitals(memory_total_mb=90_000, memory_free_mb=89_000, memory_used_mb=900))
    found = find_available(fleet(big), 1000, None)
    assert [gpu.node for gpu in found.available_gpus] == ["gpu2", "here"]  # type: ignore[union-attr]
    assert find_available(fleet(big), 80_000, None).total_available == 1


def test_gpus_that_cannot_start_trainings_are_marked():
    found = find_available(fleet(reading(1, processes=())), 0, None).available_gpus
    assert [(gpu.gpu_id, gpu.startable, gpu.startable_reason) for gpu in found] == [
        (0, True, None),
        (1, False, "trainings start on here alone: EXECUTOR=local"),
    ]


INTERVAL = 5.0


def state(*gpus) -> GPUState:
    return GPUState("here", snapshot(*gpus), tuple(judged(gpu) for gpu in gpus), {}, 0)


def test_fresh_readings_are_ready_with_their_age():
    found = judge_readiness(state(reading()), MONOTONIC + 2.04, INTERVAL)
    assert (found.status, found.reasons, found.reading_age) == ("ready", (), 2.0)


def test_old_reading_is_reported_with_its_gpu():
    old = reading(1, read_monotonic=MONOTONIC - READY_SWEEPS * INTERVAL - 1)
    found = judge_readiness(state(reading(), old), MONOTONIC, INTERVAL)
    assert found.status == "not_ready"
    assert found.reasons == ("the reading of GPU 1 is older than 3 sweeps: no later sweep",)


def test_lost_gpu_does_not_affect_readiness():
    assert judge_readiness(state(reading(), lost(1)), MONOTONIC, INTERVAL).status == "ready"


def test_without_gpus_the_sweep_has_an_age():
    found = judge_readiness(state(), MONOTONIC + READY_SWEEPS * INTERVAL + 1, INTERVAL)
    assert found.reasons == ("the last sweep is older than 3 intervals",)
