from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from api.domain.machines.gpu import GPUDetails
from api.domain.machines.reading import (
    Clocks,
    ECCErrors,
    FaultKind,
    GPUCondition,
    MemoryRepair,
    MIGSlice,
    NVLink,
)
from api.domain.tasks.task import TaskType
from api.gpus.views import belongs_to, show_available, show_details, show_gpu, show_processes, show_status
from api.trainers.diffusion_pipe.models.registry import ModelType, models_that_fit, training_mb
from tests.unit.builders import NOW, identity, judged, lost, process, reading, snapshot, task, vitals

FULL = reading(
    identity=identity(
        pci_bus_id="00000000:01:00.0",
        serial="1",
        architecture="Ada",
        compute_capability="8.9",
        power_default_limit_watts=450.0,
        power_min_limit_watts=150.0,
        power_max_limit_watts=600.0,
        temperature_slowdown=90,
        temperature_shutdown=95,
        clocks_max=Clocks(1, 2, 3, 4),
        pcie_max_generation=4,
        pcie_max_width=16,
    ),
    vitals=vitals(
        memory_reserved_mb=300,
        utilization_memory=0,
        utilization_encoder=0,
        utilization_decoder=0,
        temperature_memory=40,
        power_watts=0.0,
        energy_joules=0.0,
        fan_percent=0,
        clocks=Clocks(0, 0, 0, 0),
        pstate=0,
        throttle_reasons=(),
    ),
    condition=GPUCondition(
        power_limit_watts=450.0,
        power_enforced_limit_watts=400.0,
        ecc=ECCErrors(False, 0, 0, 0, 0),
        repair=MemoryRepair(0, False, 0, 0, False, False),
        pcie_generation=1,
        pcie_width=16,
        nvlinks=(NVLink(0, False),),
        compute_mode="default",
        persistence_mode=False,
        mig_enabled=False,
        mig_pending=False,
    ),
)


def details_of(gpu: Any, **around: Any) -> GPUDetails:
    return show_details(snapshot(gpu), judged(gpu, **around))


def null_paths(value: Any, prefix: str = "") -> set[str]:
    if value is None:
        return {prefix}
    if not is_dataclass(value):
        return set()
    return {
        path
        for field in fields(value)
        if field.name not in ("current_task", "paused_until", "status_reason", "status_reason_code", "unavailable")
        for path in null_paths(getattr(value, field.name), f"{prefix}.{field.name}".strip("."))
    }


# -- nulls and their reasons ---------------------------------------------------------------------------------------


def test_fully_known_gpu_has_no_null():
    details = details_of(FULL)
    assert null_paths(details) == set()
    assert details.unavailable == {}


def test_what_a_task_did_not_report_is_not_called_unsupported_by_the_gpu():
    details = details_of(FULL, task=task())
    assert details.current_task is not None
    assert details.current_task.progress is None
    assert details.unavailable == {}


def test_zero_is_shown_as_zero():
    details = details_of(FULL)
    assert (details.pstate, details.fan_speed, details.power.current, details.clocks.current.sm) == (0, 0, 0.0, 0)


@pytest.mark.parametrize(
    "gpu",
    [
        reading(),
        lost(),
        lost(identity=None),
        reading(fault=FaultKind.NO_PERMISSION, vitals=None, condition=None, processes=None),
        reading(identity=None, vitals=None, condition=None, processes=None, fault=FaultKind.UNREADABLE),
        reading(condition=None),
    ],
)
def test_every_null_has_a_reason(gpu: Any):
    details = details_of(gpu)
    assert null_paths(details) == set(details.unavailable)
    assert all(details.unavailable.values())


def test_unlistable_processes_have_a_reason():
    gpu = reading(processes=None, processes_unlisted="no_permission")
    shown = show_processes(snapshot(gpu), judged(gpu), None)
    assert (shown.processes, shown.unavailable) == (None, {"processes": "no_permission"})


# -- values --------------------------------------------------------------------------------------------------------


def test_memory_is_in_mb_and_gb():
    memory = show_gpu(snapshot(), judged(reading())).memory
    assert (memory.total, memory.used, memory.free) == (24_576, 400, 24_176)
    assert (memory.total_gb, memory.free_gb, memory.utilization) == (24.0, 23.61, 1.6)


def test_enforced_power_limit_is_shown():
    details = details_of(FULL)
    assert details.power.limit == 400.0
    assert details_of(reading(condition=GPUCondition(power_limit_watts=450.0))).power.limit == 450.0


def test_power_is_shown_as_a_share_of_its_limit():
    gpu = reading(vitals=vitals(power_watts=100.0), condition=GPUCondition(power_limit_watts=400.0))
    assert show_gpu(snapshot(), judged(gpu)).power_utilization == 25.0


@pytest.mark.parametrize("limit", [None, 0.0])
def test_share_of_an_unknown_limit_is_unknown(limit: float | None):
    gpu = reading(vitals=vitals(power_watts=100.0), condition=GPUCondition(power_limit_watts=limit))
    assert show_gpu(snapshot(), judged(gpu)).power_utilization is None


def test_mig_slices_are_listed_with_their_memory():
    slice_ = MIGSlice("MIG-1", "1g.10gb", 1, 0, 9856, 12, 9844)
    details = details_of(reading(condition=GPUCondition(mig_enabled=True, mig_pending=True, mig_slices=(slice_,))))
    assert details.mig.slices == (slice_,)


# -- summary -------------------------------------------------------------------------------------------------------


def test_summary_adds_up():
    gpus = [
        judged(reading(0)),
        judged(reading(1), task=task()),
        judged(reading(2, processes=(process(),))),
        judged(lost(3)),
    ]
    summary = show_status(snapshot(*(g.reading for g in gpus)), gpus, NOW).summary
    assert (summary.total_gpus, summary.available_gpus, summary.busy_gpus) == (4, 1, 2)
    assert summary.total_memory == 3 * 24_576
    assert summary.available_memory == 24_176
    assert summary.memory_utilization == 1.6


def test_summary_without_an_available_gpu_has_no_available_memory():
    gpus = [judged(reading(), task=task())]
    assert show_status(snapshot(gpus[0].reading), gpus, NOW).summary.available_memory == 0


def test_summary_of_unknown_memory_is_unknown():
    gpus = [judged(lost())]
    summary = show_status(snapshot(gpus[0].reading), gpus, NOW).summary
    assert (summary.total_memory, summary.available_memory, summary.memory_utilization) == (None, None, None)


def test_partly_known_gpu_does_not_distort_the_utilisation():
    half = reading(1, vitals=vitals(memory_used_mb=None, memory_free_mb=None))
    gpus = [judged(reading(0, vitals=vitals(memory_used_mb=12_288))), judged(half)]
    assert show_status(snapshot(), gpus, NOW).summary.memory_utilization == 50.0


@pytest.mark.parametrize(("problem", "stale"), [(None, False), ("driver not loaded", True)])
def test_status_of_a_failing_source_is_stale(problem: str | None, stale: bool):
    gpu = reading()
    status = show_status(snapshot(gpu, problem=problem), [judged(gpu, problem=problem)], NOW)
    assert (status.stale, status.source_problem) == (stale, problem)


def test_one_stale_gpu_makes_the_status_stale():
    gpus = [judged(reading(0)), judged(reading(1, read_monotonic=0.0))]
    status = show_status(snapshot(), gpus, NOW)
    assert (status.stale, [gpu.stale for gpu in status.gpus]) == (True, [False, True])


# -- processes and tasks -------------------------------------------------------------------------------------------


def test_process_of_the_task_has_its_id():
    gpu = judged(reading(processes=(process(5), process(6, ancestors=frozenset({5})), process(7))), task=task(pid=5))
    shown = show_processes(snapshot(), gpu, None).processes or ()
    assert [p.task_id for p in shown] == ["train_1", "train_1", None]


def test_task_without_a_process_owns_all_processes():
    assert belongs_to(process(5), task())


def test_process_on_a_gpu_without_a_task_has_no_task():
    gpu = judged(reading(processes=(process(5),)))
    assert [p.task_id for p in show_processes(snapshot(), gpu, None).processes or ()] == [None]


def test_details_of_a_held_gpu_contain_the_task():
    current = details_of(reading(), task=task("mine", TaskType.TRAINING, pid=5)).current_task
    assert current is not None
    assert (current.task_id, current.pid, current.start_time) == ("mine", 5, NOW)


# -- fitting models ------------------------------------------------------------------------------------------------


def test_model_fits_exactly_into_its_required_memory():
    needed = training_mb(ModelType.FLUX)
    assert needed is not None
    assert "flux" in models_that_fit(needed)
    assert "flux" not in models_that_fit(needed - 1)


def test_no_model_fits_into_unknown_memory():
    assert models_that_fit(None) == ()


def test_available_gpu_recommends_models_that_fit():
    gpu = judged(reading(vitals=vitals(memory_free_mb=12_000)))
    assert (
        set(show_available(snapshot(), gpu).recommended_for)
        == set(models_that_fit(12_000))
        == {"anima", "cosmos_predict2", "wan"}
    )
