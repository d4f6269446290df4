import pytest

from api.domain.machines.gpu import GPUStatus
from api.domain.machines.gpu_event import EventType, GPUEvent, Severity
from api.gpus.health.events import CAPACITY, GPUEvents, xid_severity
from api.gpus.snapshot import GPUReading
from tests.unit.builders import MONOTONIC, NOW, judged, lost, process, reading, snapshot, task, vitals


@pytest.fixture
def events() -> GPUEvents:
    return GPUEvents()


def see(events: GPUEvents, *gpus: GPUReading, problem: str | None = None, **around: object) -> list[GPUEvent]:
    """Compare with these GPUs and return the new events, oldest first."""
    before = len(events.list())
    shown = [judged(gpu, problem=problem, **around) for gpu in gpus]
    events.compare(NOW, snapshot(*gpus, problem=problem), shown)
    return list(reversed(events.list()))[before:]


def test_new_gpu_is_no_event(events: GPUEvents):
    assert see(events, reading(), lost(1)) == []


def test_unchanged_sweep_is_no_event(events: GPUEvents):
    see(events, reading())
    assert see(events, reading()) == []


def test_loss_is_a_critical_event_of_status_and_health(events: GPUEvents):
    see(events, reading())
    status, health = see(events, lost())
    assert (status.type, status.severity, status.previous, status.current) == (
        EventType.STATUS,
        Severity.CRITICAL,
        "available",
        "lost",
    )
    assert (health.type, health.severity, health.current) == (EventType.HEALTH, Severity.CRITICAL, "unhealthy")
    assert status.message == "off the bus"
    assert (status.gpu_id, status.uuid) == (0, reading().uuid)


def test_return_is_an_informational_event(events: GPUEvents):
    see(events, reading())
    see(events, lost())
    assert {(event.current, event.severity) for event in see(events, reading())} == {
        ("available", Severity.INFO),
        ("healthy", Severity.INFO),
    }


def test_task_is_an_informational_event(events: GPUEvents):
    see(events, reading())
    (event,) = see(events, reading(), task=task("mine"))
    assert (event.current, event.severity, event.message) == (GPUStatus.TRAINING, Severity.INFO, "held by mine")


def test_event_of_a_foreign_process_names_it(events: GPUEvents):
    see(events, reading())
    (event,) = see(events, reading(processes=(process(pid=99),)))
    assert "pid 99" in event.message


def test_failing_source_is_one_critical_event(events: GPUEvents):
    (event,) = see(events, problem="stuck for 5 s")
    assert (event.type, event.severity, event.current) == (EventType.SOURCE, Severity.CRITICAL, "failing")
    assert see(events, problem="stuck for 10 s") == []


def test_recovering_source_is_an_event_with_the_previous_problem(events: GPUEvents):
    see(events, problem="driver not loaded")
    (event,) = see(events)
    assert (event.severity, event.previous, event.current) == (Severity.INFO, "failing", "ok")
    assert "driver not loaded" in event.message


def test_gpu_without_a_name_makes_no_events(events: GPUEvents):
    see(events, reading(identity=None))
    assert see(events, lost(identity=None)) == []


def test_events_are_numbered_and_listed_newest_first(events: GPUEvents):
    for number in range(3):
        events.add(NOW, EventType.TASK, Severity.INFO, f"event {number}")
    assert [(event.id, event.message) for event in events.list()] == [(3, "event 2"), (2, "event 1"), (1, "event 0")]


def test_oldest_events_are_dropped(events: GPUEvents):
    for _ in range(CAPACITY + 5):
        events.add(NOW, EventType.TASK, Severity.INFO, "again")
    stored = events.list()
    assert (len(stored), stored[0].id, stored[-1].id) == (CAPACITY, CAPACITY + 5, 6)


@pytest.mark.parametrize(
    ("xid", "severity"),
    [
        (13, Severity.INFO),
        (31, Severity.INFO),
        (43, Severity.INFO),
        (94, Severity.WARNING),
        (48, Severity.CRITICAL),
        (79, Severity.CRITICAL),
        (119, Severity.CRITICAL),
    ],
)
def test_xid_has_the_severity_of_its_class(xid: int, severity: Severity):
    assert xid_severity(xid) is severity


def test_new_recovery_action_is_an_event_of_an_unhealthy_gpu(events: GPUEvents):
    see(events, reading(), xids=(79,))
    unhealthy = reading(vitals=vitals(recovery_action=2))
    (event,) = see(events, unhealthy, xids=(79,))
    assert (event.type, event.previous, event.current) == (EventType.HEALTH, "unhealthy", "unhealthy")
    assert "requests a reboot" in event.message
    assert see(events, unhealthy, xids=(79,)) == []


# -- the service's own log -----------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and text of new log lines."""
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


def test_loss_and_return_of_a_gpu_are_logged_once_each(events: GPUEvents, caplog: pytest.LogCaptureFixture):
    see(events, reading())
    assert lines(caplog) == []
    for _ in range(3):
        see(events, lost())
    assert lines(caplog) == [("ERROR", "GPU 0: it is lost and unhealthy: off the bus")]
    for _ in range(3):
        see(events, reading())
    assert lines(caplog) == [("WARNING", "GPU 0: it is available and healthy: it is usable again")]


def test_log_names_the_node_if_there_are_several(events: GPUEvents, caplog: pytest.LogCaptureFixture):
    events.is_fleet = True
    see(events, reading())
    see(events, lost())
    [(_, message)] = lines(caplog)
    assert message.startswith("GPU here:0: it is lost")


def test_stale_reading_is_logged_once(events: GPUEvents, caplog: pytest.LogCaptureFixture):
    see(events, reading())
    for age in (11, 12, 13):
        see(events, reading(read_monotonic=MONOTONIC - age))
    [(level, message)] = lines(caplog)
    assert level == "WARNING"
    assert "its last reading is 11 s old" in message


def test_change_of_health_is_logged(events: GPUEvents, caplog: pytest.LogCaptureFixture):
    see(events, reading())
    see(events, reading(), xids=(94,))
    see(events, reading(), xids=(94, 79))
    (degraded, unhealthy) = lines(caplog)
    assert (degraded[0], unhealthy[0]) == ("WARNING", "ERROR")
    assert "Xid 94" in degraded[1]
    assert "Xid 79" in unhealthy[1]


def test_initial_problem_is_logged(events: GPUEvents, caplog: pytest.LogCaptureFixture):
    see(events, lost())
    assert [level for level, _ in lines(caplog)] == ["ERROR"]


def test_starting_and_ending_work_is_not_logged(events: GPUEvents, caplog: pytest.LogCaptureFixture):
    see(events, reading())
    see(events, reading(), task=task())
    see(events, reading())
    assert lines(caplog) == []


def test_driver_failure_is_logged_once_for_all_gpus(events: GPUEvents, caplog: pytest.LogCaptureFixture):
    see(events, reading(), reading(1))
    for _ in range(3):
        see(events, reading(), reading(1), problem="the NVIDIA driver is not loaded")
    assert lines(caplog) == [("ERROR", "the NVIDIA driver is not loaded")]
    see(events, reading(), reading(1))
    [(level, message)] = lines(caplog)
    assert (level, "has readings again" in message) == ("WARNING", True)
