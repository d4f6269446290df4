import pytest

from api.domain.machines.reading import FaultKind, XidEvent
from api.gpus.sources.source import FakeSource, GPUFault
from tests.api.conftest import World

GPU = "/api/v1/gpu"


@pytest.fixture
def eventful(fake_world: World, source: FakeSource) -> World:
    source.faults[1] = GPUFault(FaultKind.LOST, "fell off the bus")
    fake_world.sweep()
    source.xids += [XidEvent(source.identities[0].uuid, 79), XidEvent(source.identities[0].uuid, 13)]
    fake_world.gpus.read_xids()
    return fake_world


def test_events_are_listed_newest_first(eventful: World):
    events = eventful.client.data(f"{GPU}/events")["events"]
    assert [event["id"] for event in events] == sorted((event["id"] for event in events), reverse=True)
    assert {"xid", "status", "health"} == {event["type"] for event in events}


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [("type=xid", "type", "xid"), ("severity=critical", "severity", "critical"), ("gpu_id=1", "gpu_id", 1)],
)
def test_events_can_be_filtered(eventful: World, query: str, field: str, value: object):
    every = eventful.client.data(f"{GPU}/events")["events"]
    chosen = eventful.client.data(f"{GPU}/events?{query}")["events"]
    assert chosen == [event for event in every if event[field] == value] != []


def test_events_of_a_gpu_can_be_filtered_by_uuid(eventful: World, source: FakeSource):
    by_index = eventful.client.data(f"{GPU}/events?gpu_id=1")["events"]
    assert eventful.client.data(f"{GPU}/events?gpu_id={source.identities[1].uuid}")["events"] == by_index != []


def test_events_can_be_filtered_by_time(eventful: World):
    assert eventful.client.data(f"{GPU}/events?since=2100-01-01T00:00:00Z")["events"] == []


def test_xid_event_has_its_number_and_severity(eventful: World):
    application, critical = eventful.client.data(f"{GPU}/events?type=xid")["events"]
    assert (critical["xid"], critical["severity"], critical["gpu_id"]) == (79, "critical", 0)
    assert (application["xid"], application["severity"]) == (13, "info")


def test_events_are_stable_by_cursor_while_more_arrive(eventful: World, source: FakeSource):
    every = [event["id"] for event in eventful.client.data(f"{GPU}/events")["events"]]
    page = eventful.client.data(f"{GPU}/events?limit=2")
    seen = [event["id"] for event in page["events"]]
    while page["pagination"]["next_cursor"]:
        source.xids.append(XidEvent(source.identities[0].uuid, 31))
        eventful.gpus.read_xids()
        page = eventful.client.data(f"{GPU}/events?limit=2&cursor={page['pagination']['next_cursor']}")
        seen += [event["id"] for event in page["events"]]
    assert seen == every
