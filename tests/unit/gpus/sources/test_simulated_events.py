import pytest

from api.domain.machines.reading import FaultKind, GPUVitals
from api.gpus.sources.boards import parse_boards
from api.gpus.sources.simulated import SimulatedSource
from api.gpus.sources.simulated_events import SimulatedEvent, SimulatedFault, parse_events
from api.gpus.sources.source import GPUFault
from api.util.clock import FakeClock


def test_events_are_parsed_with_their_units():
    assert parse_events("30s gpu0 overheats 5m; 1h GPU12 xid 79;90 gpu1 lost;; ") == (
        SimulatedEvent(30, 0, SimulatedFault.OVERHEATS, 300),
        SimulatedEvent(3600, 12, SimulatedFault.XID, xid=79),
        SimulatedEvent(90, 1, SimulatedFault.LOST),
    )
    assert parse_events("") == ()


@pytest.mark.parametrize(
    "text", ["soon gpu0 lost", "5s gpu0 explodes", "5s gpu0 xid", "5s gpu0 xid 79s", "gpu0 lost 5s", "5s 0 lost"]
)
def test_invalid_event_is_rejected_with_an_example(text: str):
    with pytest.raises(ValueError, match=r"such as|looks like"):
        parse_events(text)


class Machine:
    def __init__(self, clock: FakeClock, events: str) -> None:
        self.clock = clock
        self.source = SimulatedSource(parse_boards("2x NVIDIA GeForce RTX 4090"), 0, clock, parse_events(events))
        self.gpu = self.source.identify(0)

    def after(self, seconds: float) -> GPUVitals:
        self.clock.advance(seconds)
        return self.source.read_vitals(self.gpu)


def test_gpu_overheats_for_the_given_time(clock: FakeClock):
    machine = Machine(clock, "10s gpu0 overheats 20s")
    assert (machine.after(9).temperature_gpu or 0) < 60
    hot = machine.after(1)
    assert (hot.temperature_gpu, hot.throttle_reasons) == (92, ("hw_thermal_slowdown",))
    assert machine.source.read_vitals(machine.source.identify(1)).temperature_gpu != 92
    assert machine.after(20).temperature_gpu != 92


def test_gpu_is_lost_and_returns(clock: FakeClock):
    machine = Machine(clock, "10s gpu0 lost 20s")
    clock.advance(10)
    with pytest.raises(GPUFault) as fault:
        machine.source.read_vitals(machine.gpu)
    assert fault.value.kind is FaultKind.LOST
    assert machine.after(20).memory_total_mb


def test_fan_stops_and_brake_slows(clock: FakeClock):
    vitals = Machine(clock, "0s gpu0 fan; 0s gpu0 brake").after(1)
    assert (vitals.fan_percent, vitals.throttle_reasons) == (0, ("hw_power_brake_slowdown",))
    assert (vitals.temperature_gpu or 0) >= 70


def test_xid_is_reported_once(clock: FakeClock):
    machine = Machine(clock, "10s gpu0 xid 79; 0s gpu7 xid 1")
    assert machine.source.next_xid() is None
    clock.advance(10)
    reported = machine.source.next_xid()
    assert reported is not None
    assert (reported.uuid, reported.xid) == (machine.gpu.uuid, 79)
    assert machine.source.next_xid() is None
