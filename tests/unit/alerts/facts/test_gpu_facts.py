import math
from dataclasses import replace
from typing import Any

import pytest

from api.alerts.facts.gpu_facts import GPUFacts
from api.alerts.rules.measurable import metrics_of
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.gpu import GPUHealth, Verdict
from api.domain.machines.reading import ECCErrors, GPUCondition, MemoryRepair
from api.domain.reason import Reason
from api.gpus.health.xid_history import XidCount
from api.gpus.snapshot import GPUReading
from api.gpus.state import GPUState
from api.util.clock import FakeClock
from tests.unit.builders import identity, judged, lost, process, reading, snapshot, task, uuid_of, vitals
from tests.unit.gpus.fleets import fleet


class Seen:
    """One GPU, reading by reading."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.facts = GPUFacts(clock)
        self.sequence = 0

    def see(
        self, gpu: GPUReading | None = None, after: float = 5.0, xids: Any = None, **around: Any
    ) -> dict[str, float]:
        self.clock.advance(after)
        self.sequence += 1
        gpu = replace(gpu or reading(), read_monotonic=self.clock.monotonic())
        seen = judged(gpu, now=self.clock.monotonic(), **around)
        state = GPUState("n", snapshot(gpu, sequence=self.sequence), (seen,), xids or {}, 0)
        self.table = self.facts.table(state, 2.0)
        return {name: self.table.value(name, 0) for name in self.table.columns}


@pytest.fixture
def seen(clock: FakeClock) -> Seen:
    return Seen(clock)


def test_columns_are_exactly_the_metrics(seen: Seen):
    assert seen.see().keys() == metrics_of(RuleScope.GPU).keys()


def test_readings_become_numbers_and_unknown_values_stay_unknown(seen: Seen):
    row = seen.see(reading(identity=identity(temperature_slowdown=90), vitals=vitals(temperature_gpu=85)))
    assert (row["temperature_gpu"], row["temperature_slowdown"], row["memory_used"]) == (85, 90, 400)
    assert (row["lost"], row["reading_age"], row["available"], row["queue_waiting"]) == (0, 0, 1, 2)
    assert math.isnan(row["temperature_memory"])
    assert seen.table.targets[0].labels["gpu_uuid"] == uuid_of(0)


def test_lost_gpu_has_no_other_facts(seen: Seen):
    row = seen.see(lost())
    assert row["lost"] == 1
    assert math.isnan(row["temperature_gpu"])
    assert math.isnan(row["foreign_memory"])


def test_outdated_reading_is_unknown(clock: FakeClock):
    gpu = reading(read_monotonic=clock.monotonic() - 300)
    state = GPUState("n", snapshot(gpu), (judged(gpu, now=clock.monotonic()),), {}, 0)
    table = GPUFacts(clock).table(state, 0)
    assert table.value("reading_age", 0) == 300
    assert math.isnan(table.value("temperature_gpu", 0))


def test_share_is_known_when_half_its_window_is_filled(seen: Seen):
    hot = reading(vitals=vitals(throttle_reasons=("hw_thermal_slowdown",)))
    cool = reading(vitals=vitals(throttle_reasons=()))
    for _ in range(20):
        row = seen.see(hot)
    assert math.isnan(row["hw_thermal_percent"])
    for _ in range(20):
        row = seen.see(cool)
    assert 45 <= row["hw_thermal_percent"] <= 55
    assert math.isnan(row["sw_thermal_percent"])
    for _ in range(60):
        row = seen.see(cool)
    assert row["hw_thermal_percent"] == 0


def test_errors_count_from_the_start_and_a_reloaded_driver_from_zero(seen: Seen):
    def errors(count: int) -> GPUReading:
        return reading(condition=GPUCondition(ecc=ECCErrors(uncorrected_volatile=count)))

    assert [seen.see(errors(count))["ecc_uncorrected_new"] for count in (5, 5, 7, 0, 1)] == [0, 0, 2, 0, 1]


def test_previous_power_limit_is_known_for_a_while(seen: Seen):
    def limit(watts: float) -> GPUReading:
        return reading(condition=GPUCondition(power_limit_watts=watts))

    assert seen.see(limit(300))["power_limit_previous"] == 300
    assert seen.see(limit(200))["power_limit_previous"] == 300
    assert seen.see(limit(200), after=700)["power_limit_previous"] == 200


def test_memory_of_other_programs_counts_without_a_task(seen: Seen):
    held = reading(processes=(process(memory_mb=3000),))
    assert seen.see(held)["foreign_memory"] == 3000
    assert seen.see(held, task=task())["foreign_memory"] == 0
    assert math.isnan(seen.see(reading(processes=(process(memory_mb=None),)))["foreign_memory"])
    growing = [seen.see(reading(processes=(process(memory_mb=size),)), after=3600) for size in (1000, 1200, 1400, 1700)]
    assert growing[-1]["foreign_growth"] == pytest.approx(100 * (1400 / 1200 - 1))


def test_best_link_and_turned_fan_are_remembered(seen: Seen):
    seen.see(reading(vitals=vitals(fan_percent=30), condition=GPUCondition(pcie_width=16, pcie_generation=4)))
    row = seen.see(reading(vitals=vitals(fan_percent=0), condition=GPUCondition(pcie_width=8, pcie_generation=1)))
    assert (row["pcie_width"], row["pcie_width_best"], row["pcie_generation_best"]) == (8, 16, 4)
    assert (row["fan_speed"], row["fan_has_turned"]) == (0, 1)


def test_xids_are_classified(seen: Seen, clock: FakeClock):
    row = seen.see(xids={(uuid_of(0), 31): XidCount(1, clock.now().timestamp())})
    assert row["xid_application_age"] == 5
    assert "Xid 31" in seen.table.targets[0].summary_values["xid_application"]
    assert seen.see()["xid_fatal"] == 0
    health = GPUHealth.of(Verdict.UNHEALTHY, [Reason.of("Xid {xid}", "xid", xid=79)])
    gpu = reading(read_monotonic=clock.monotonic())
    seen_gpu = judged(gpu, now=clock.monotonic())
    unhealthy = replace(seen_gpu, judgement=replace(seen_gpu.judgement, health=health))
    table = seen.facts.table(GPUState("n", snapshot(gpu), (unhealthy,), {}, 0), 0)
    assert (table.value("xid_fatal", 0), table.value("health", 0)) == (79, 2)


def test_repairs_and_recovery_are_flags(seen: Seen):
    repair = MemoryRepair(remapped_rows_pending=True, remapped_rows_failure=False)
    row = seen.see(reading(vitals=vitals(recovery_action=1), condition=GPUCondition(repair=repair)))
    assert (row["repair_pending"], row["repair_failed"], row["recovery_action"]) == (1, 0, 1)


def test_gpu_of_another_machine_has_fewer_samples(clock: FakeClock):
    facts, hot = GPUFacts(clock), reading(1, vitals=vitals(throttle_reasons=("hw_thermal_slowdown",)))
    for at in range(0, 300, 5):
        clock.advance(5)
        state = fleet(replace(hot, read_monotonic=clock.monotonic()), clock=clock, sequence=at)
        table = facts.table_of_others(state, 0.0, ["gpu2"])
    assert table.value("hw_thermal_percent", 0) == 100
    assert len(facts._memories["gpu2", uuid_of(1)].samples) == 10


def test_gpu_of_another_machine_with_a_duplicate_uuid_is_no_target(clock: FakeClock):
    table = GPUFacts(clock).table_of_others(fleet(reading(0), reading(1)), 0.0, ["gpu2"])
    assert [target.labels["gpu_uuid"] for target in table.targets] == [uuid_of(1)]
