from datetime import timedelta

from api.domain.history import Metric
from api.gpus.fleet_history import FleetHistory
from tests.unit.builders import NOW, reading, snapshot, vitals
from tests.unit.gpus.fleets import fleet


def test_another_machines_gpu_has_its_own_history():
    histories = FleetHistory(5.0)
    state = fleet(reading(1, vitals=vitals(utilization_gpu=77)))
    taken = snapshot().taken_at
    histories.record_others(state)
    shown = histories.show(state, "gpu2:1", Metric.UTILIZATION_GPU, taken - timedelta(1), taken + timedelta(1), None)
    assert (shown.node, [point.value for point in shown.data]) == ("gpu2", [77])  # type: ignore[attr-defined]
    own = histories.show(state, "here:0", Metric.UTILIZATION_GPU, NOW - timedelta(1), NOW + timedelta(1), None)
    assert own.data == ()


def test_silent_machine_has_no_new_samples():
    histories = FleetHistory(5.0)
    state = fleet(reading(1), silent=60.0)
    histories.record_others(state)
    taken = snapshot().taken_at
    shown = histories.show(state, "gpu2:1", Metric.MEMORY_USED, taken - timedelta(1), taken + timedelta(1), None)
    assert [point.value for point in shown.data] == [None]
