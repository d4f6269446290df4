import gzip
from dataclasses import replace
from datetime import datetime

import pytest

from api.hardware.source import FakeSource, GPUFault, ProcessesUnlistedError, SourceFault
from api.models.reading import FaultKind, GPUIdentity, GPUProcess, ProcessKind, XidEvent
from tests.api.client import Client, failure_of
from tests.api.conftest import World

GPU = "/api/v1/gpu"
NOBODY = ["-1", "999999999999", "abc", "%2e%2e", "00", "0x0", "None", "1.0", "%20", "GPU-", "x" * 5000, "é", "0%00"]


# -- status --------------------------------------------------------------------------------------------------------


def test_status_shows_every_gpu_as_the_contract_says(client: Client):
    data = client.data(f"{GPU}/status")
    assert data["source"] == "simulated"
    assert data["stale"] is False
    assert [gpu["gpu_id"] for gpu in data["gpus"]] == [0, 1, 2, 3]
    gpu = data["gpus"][0]
    assert gpu["name"] == "NVIDIA GeForce RTX 4090"
    assert (gpu["status"], gpu["is_available"], gpu["current_task"]) == ("available", True, None)
    assert set(gpu) >= {
        "gpu_id",
        "uuid",
        "name",
        "memory",
        "utilization_gpu",
        "utilization_memory",
        "temperature",
        "power_usage",
        "power_limit",
        "power_utilization",
        "status",
        "status_reason",
        "is_available",
        "current_task",
        "driver_version",
        "cuda_version",
    }
    assert set(gpu["memory"]) >= {"total", "used", "free", "reserved", "utilization", "total_gb", "free_gb"}
    assert all(isinstance(gpu["memory"][name], int) for name in ("total", "used", "free", "reserved"))


def test_status_holds_the_summary(client: Client):
    status, summary = client.data(f"{GPU}/status"), client.data(f"{GPU}/summary")
    assert status["summary"] == summary
    assert set(summary) >= {
        "total_gpus",
        "available_gpus",
        "busy_gpus",
        "total_memory",
        "available_memory",
        "memory_utilization",
        "timestamp",
        "updated_at",
    }
    assert (summary["total_gpus"], summary["available_gpus"], summary["busy_gpus"]) == (4, 4, 0)


def test_times_are_utc_with_z(client: Client):
    data = client.data(f"{GPU}/status")
    for text in (data["timestamp"], data["summary"]["updated_at"], data["gpus"][0]["read_at"]):
        assert text.endswith("Z")
        datetime.fromisoformat(text)


def test_status_of_a_failing_source_says_so_and_keeps_the_gpus(fake_world: World, source: FakeSource):
    source.problem = SourceFault("driver not loaded", "load it", 9)
    fake_world.sweep()
    data = fake_world.client.data(f"{GPU}/status")
    assert (data["source_problem"], data["stale"]) == ("driver not loaded: load it", True)
    assert {gpu["status"] for gpu in data["gpus"]} == {"unknown"}
    assert data["summary"]["available_gpus"] == 0


def test_lost_gpu_leaves_the_others_right(fake_world: World, source: FakeSource):
    uuid = source.identities[2].uuid
    source.faults[2] = GPUFault(FaultKind.LOST, "fell off the bus")
    fake_world.sweep()
    gpus = fake_world.client.data(f"{GPU}/status")["gpus"]
    assert [gpu["status"] for gpu in gpus] == ["available", "available", "lost", "available"]
    assert (gpus[2]["uuid"], gpus[2]["name"], gpus[2]["status_reason"]) == (uuid, "NVIDIA Test", "fell off the bus")
    assert gpus[2]["memory"]["used"] is None


# -- one GPU -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/details", "/processes", "/history"])
def test_gpu_is_found_by_index_and_by_uuid(client: Client, suffix: str):
    uuid = client.data(f"{GPU}/status")["gpus"][1]["uuid"]
    by_index, by_uuid = client.data(f"{GPU}/1{suffix}"), client.data(f"{GPU}/{uuid}{suffix}")
    assert by_index["uuid"] == by_uuid["uuid"] == uuid


@pytest.mark.parametrize("suffix", ["", "/details", "/processes", "/history"])
@pytest.mark.parametrize("name", NOBODY, ids=lambda name: name[:12])
def test_gpu_that_does_not_exist_is_not_found(client: Client, name: str, suffix: str):
    answer = client.get(f"{GPU}/{name}{suffix}")
    assert answer.status_code == 404
    envelope = failure_of(answer)
    if envelope["error"]["code"] == "gpu_not_found":
        assert envelope["data"] == {"gpu_ids": [0, 1, 2, 3]}
    assert len(answer.content) < 1000


def test_details_hold_every_group(client: Client):
    details = client.data(f"{GPU}/0/details")
    assert set(details["utilization"]) == {"gpu", "memory", "encoder", "decoder"}
    assert set(details["temperature"]) == {"gpu", "memory", "slowdown", "shutdown"}
    assert set(details["power"]) == {
        "current",
        "limit",
        "default_limit",
        "min_limit",
        "max_limit",
        "usage_percent",
        "energy_joules",
    }
    assert set(details["health"]) == {"verdict", "reasons", "suggested_actions"}
    assert set(details) >= {
        "clocks",
        "pstate",
        "throttle_reasons",
        "ecc",
        "pcie",
        "nvlink",
        "mig",
        "compute_mode",
        "persistence_mode",
        "processes",
        "is_available",
        "current_task",
        "timestamp",
        "unavailable",
    }


def test_details_are_the_same_at_both_addresses(client: Client):
    assert client.data(f"{GPU}/0") == client.data(f"{GPU}/0/details")


def null_paths(value: object, prefix: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {prefix} if value is None else set()
    return {
        path
        for name, part in value.items()
        if not isinstance(part, list)
        for path in null_paths(part, f"{prefix}.{name}".strip("."))
    }


@pytest.mark.parametrize("boards", ["NVIDIA GeForce RTX 4090", "NVIDIA H100 80GB HBM3"])
def test_details_say_for_every_null_why(make_world, boards: str):
    details = make_world(simulated_gpus=boards).client.data(f"{GPU}/0")
    unavailable = details.pop("unavailable")
    assert null_paths(details) - {"current_task", "status_reason"} == set(unavailable)


def test_details_of_a_lost_gpu_say_that_it_is_lost(fake_world: World, source: FakeSource):
    source.faults[0] = GPUFault(FaultKind.LOST, "fell off the bus")
    fake_world.sweep()
    details = fake_world.client.data(f"{GPU}/0")
    assert details["unavailable"]["memory.used"] == "lost"
    assert details["health"]["verdict"] == "unhealthy"
    assert details["health"]["suggested_actions"]


def test_processes_tell_who_holds_the_memory(fake_world: World, source: FakeSource):
    source.processes[0] = (GPUProcess(4711, ProcessKind.COMPUTE, 9000, "ada", "python train.py", None, None, 1000),)
    fake_world.gpus._monitor._slots[0]._processes_at = float("-inf")
    fake_world.sweep()
    data = fake_world.client.data(f"{GPU}/0/processes")
    (process,) = data["processes"]
    assert (process["pid"], process["user"], process["command"], process["memory"], process["task_id"]) == (
        4711,
        "ada",
        "python train.py",
        9000,
        None,
    )
    assert fake_world.client.data(f"{GPU}/0")["status"] == "busy"


def test_processes_that_cannot_be_listed_are_null_with_a_reason(
    make_world, source: FakeSource, monkeypatch: pytest.MonkeyPatch
):
    def refuse(gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        raise ProcessesUnlistedError("no_permission")

    monkeypatch.setattr(source, "read_processes", refuse)
    data = make_world(source).client.data(f"{GPU}/0/processes")
    assert data["processes"] is None
    assert data["unavailable"] == {"processes": "no_permission"}


# -- available -----------------------------------------------------------------------------------------------------


def test_available_gpus_come_most_free_gigabytes_first(fake_world: World, source: FakeSource):
    for slot, free in enumerate((8_192, 40_960, 16_384, 16_999)):
        source.vitals[slot] = replace(source.vitals[slot], memory_free_mb=free)
    fake_world.sweep()
    data = fake_world.client.data(f"{GPU}/available")
    assert [gpu["gpu_id"] for gpu in data["available_gpus"]] == [1, 2, 3, 0]
    assert data["total_available"] == 4


def test_available_gpu_has_the_fields_of_the_contract(client: Client):
    gpu = client.data(f"{GPU}/available")["available_gpus"][0]
    assert set(gpu) == {
        "gpu_id",
        "uuid",
        "name",
        "memory_total",
        "memory_free",
        "memory_total_gb",
        "memory_free_gb",
        "status",
        "utilization_gpu",
        "temperature_gpu",
        "driver_version",
        "recommended_for",
    }
    assert "flux" in gpu["recommended_for"]


def test_count_cuts_the_list_and_not_the_total(client: Client):
    data = client.data(f"{GPU}/available?count=1")
    assert (len(data["available_gpus"]), data["total_available"]) == (1, 4)


def test_min_memory_leaves_out_smaller_gpus(fake_world: World, source: FakeSource):
    source.set_memory(0, 900)
    fake_world.sweep()
    data = fake_world.client.data(f"{GPU}/available?min_memory=23677")
    assert [gpu["gpu_id"] for gpu in data["available_gpus"]] == [1, 2, 3]


def test_gpu_of_unknown_memory_satisfies_no_minimum(make_world, source: FakeSource):
    source.vitals[0] = replace(source.vitals[0], memory_free_mb=None)
    client = make_world(source).client
    assert 0 not in [gpu["gpu_id"] for gpu in client.data(f"{GPU}/available?min_memory=1")["available_gpus"]]
    assert 0 in [gpu["gpu_id"] for gpu in client.data(f"{GPU}/available")["available_gpus"]]


def test_model_type_asks_for_what_its_training_needs(client: Client):
    assert client.data(f"{GPU}/available?model_type=flux2")["total_available"] == 0
    assert client.data(f"{GPU}/available?model_type=flux&task_type=training")["total_available"] == 4


def test_model_type_filters_nothing_for_preprocessing(client: Client):
    assert client.data(f"{GPU}/available?model_type=flux2&task_type=preprocessing")["total_available"] == 4


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("min_memory=-5", "/min_memory"),
        ("min_memory=abc", "/min_memory"),
        (f"min_memory={10**30}", "/min_memory"),
        ("min_memory=1.5", "/min_memory"),
        ("min_memory=", "/min_memory"),
        ("min_memory=NaN", "/min_memory"),
        ("count=0", "/count"),
        ("count=-1", "/count"),
        ("count=100000", "/count"),
        ("task_type=dancing", "/task_type"),
        ("model_type=gpt", "/model_type"),
    ],
)
def test_parameter_that_is_not_valid_is_refused(client: Client, query: str, pointer: str):
    answer = client.get(f"{GPU}/available?{query}")
    assert answer.status_code == 422
    envelope = failure_of(answer)
    assert envelope["error"]["code"] == "validation_failed"
    assert [mistake["pointer"] for mistake in envelope["error"]["errors"]] == [pointer]


def test_every_mistake_is_told_at_once(client: Client):
    answer = client.get(f"{GPU}/available?min_memory=-5&count=0&task_type=x&modeltype=flux")
    pointers = {mistake["pointer"] for mistake in failure_of(answer)["error"]["errors"]}
    assert pointers == {"/min_memory", "/count", "/task_type", "/modeltype"}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (f"{GPU}/available?min_memry=1", "min_memory"),
        (f"{GPU}/events?severty=info", "severity"),
        (f"{GPU}/tasks?limits=1", "limit"),
        (f"{GPU}/0/history?metrics=fan_speed", "metric"),
    ],
)
def test_unknown_parameter_is_refused_with_what_may_be_meant(client: Client, path: str, meant: str):
    answer = client.get(path)
    assert answer.status_code == 422
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["message"] == f'unknown field; did you mean "{meant}"?'


def test_unknown_parameter_unlike_any_other_is_told_the_known_ones(client: Client):
    (mistake,) = failure_of(client.get(f"{GPU}/available?zzz=1"))["error"]["errors"]
    assert "min_memory" in mistake["message"]


@pytest.mark.parametrize("path", ["/status", "/summary", "/0", "/0/details", "/0/processes"])
def test_route_without_parameters_ignores_them(client: Client, path: str):
    assert client.get(f"{GPU}{path}?cache=bust&a=1").status_code == 200


# -- history -------------------------------------------------------------------------------------------------------


def test_history_shows_what_was_read(client: Client):
    data = client.data(f"{GPU}/0/history?metric=temperature_gpu")
    assert (data["metric"], data["unit"], data["gpu_id"]) == ("temperature_gpu", "°C", 0)
    (point,) = data["data"]
    assert point["min"] == point["value"] == point["max"] == client.data(f"{GPU}/0")["temperature"]["gpu"]


@pytest.mark.parametrize(
    "query",
    [
        "metric=utilization_gpu",
        "since=15m",
        "since=1d",
        "since=99999d",
        "since=2026-01-01T00:00:00Z",
        "since=2026-01-01T00:00:00%2B05:00",
        "since=0001-01-01T00:00:00%2B14:00",
        "until=9999-12-31T23:59:59-12:00",
        "step=1",
        "step=86400",
        "step=1.5&since=6h&until=2026-01-01T00:00:00Z",
    ],
)
def test_period_is_taken(client: Client, query: str):
    assert client.get(f"{GPU}/0/history?{query}").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "metric=wisdom",
        "since=yesterday",
        "since=0s",
        "since=-5m",
        "since=2026-13-01T00:00:00Z",
        "since=2026-01-01T00:00:00",
        "until=1h",
        "step=0",
        "step=nan",
        "step=inf",
        "step=86401",
    ],
)
def test_period_that_is_not_valid_is_refused(client: Client, query: str):
    answer = client.get(f"{GPU}/0/history?{query}")
    assert answer.status_code == 422
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["pointer"] == "/" + query.partition("=")[0]


def test_history_of_a_period_before_any_reading_is_empty(client: Client):
    data = client.data(f"{GPU}/0/history?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z")
    assert data["data"] == []
    assert (data["since"], data["until"]) == ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")


# -- events --------------------------------------------------------------------------------------------------------


@pytest.fixture
def eventful(fake_world: World, source: FakeSource) -> World:
    source.faults[1] = GPUFault(FaultKind.LOST, "fell off the bus")
    fake_world.sweep()
    source.xids += [XidEvent(source.identities[0].uuid, 79), XidEvent(source.identities[0].uuid, 13)]
    fake_world.gpus.listen_for_xid()
    return fake_world


def test_events_come_newest_first(eventful: World):
    events = eventful.client.data(f"{GPU}/events")["events"]
    assert [event["id"] for event in events] == sorted((event["id"] for event in events), reverse=True)
    assert {"xid", "status", "health"} == {event["type"] for event in events}


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [("type=xid", "type", "xid"), ("severity=critical", "severity", "critical"), ("gpu_id=1", "gpu_id", 1)],
)
def test_events_can_be_chosen(eventful: World, query: str, field: str, value: object):
    every = eventful.client.data(f"{GPU}/events")["events"]
    chosen = eventful.client.data(f"{GPU}/events?{query}")["events"]
    assert chosen == [event for event in every if event[field] == value] != []


def test_events_of_a_gpu_can_be_chosen_by_uuid(eventful: World, source: FakeSource):
    by_index = eventful.client.data(f"{GPU}/events?gpu_id=1")["events"]
    assert eventful.client.data(f"{GPU}/events?gpu_id={source.identities[1].uuid}")["events"] == by_index != []


def test_events_can_be_chosen_by_time(eventful: World):
    assert eventful.client.data(f"{GPU}/events?since=2100-01-01T00:00:00Z")["events"] == []


def test_xid_event_tells_its_number_and_weight(eventful: World):
    application, critical = eventful.client.data(f"{GPU}/events?type=xid")["events"]
    assert (critical["xid"], critical["severity"], critical["gpu_id"]) == (79, "critical", 0)
    assert (application["xid"], application["severity"]) == (13, "info")


def test_events_are_stable_by_cursor_while_more_arrive(eventful: World, source: FakeSource):
    every = [event["id"] for event in eventful.client.data(f"{GPU}/events")["events"]]
    page = eventful.client.data(f"{GPU}/events?limit=2")
    seen = [event["id"] for event in page["events"]]
    while page["pagination"]["next_cursor"]:
        source.xids.append(XidEvent(source.identities[0].uuid, 31))
        eventful.gpus.listen_for_xid()
        page = eventful.client.data(f"{GPU}/events?limit=2&cursor={page['pagination']['next_cursor']}")
        seen += [event["id"] for event in page["events"]]
    assert seen == every


# -- ready documents -----------------------------------------------------------------------------------------------

DOCUMENTS = ["/api/v1/gpu/status", "/api/v1/gpu/summary", "/api/v1/gpu/0", "/metrics", "/api/v1/metrics"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_etag_of_what_is_held_spares_the_body(client: Client, path: str):
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("form", ["{}", '{}, W/"x"', 'W/"x",{}', "*"])
def test_etag_is_found_in_any_form(client: Client, form: str):
    etag = client.get(DOCUMENTS[0]).headers["etag"]
    assert client.get(DOCUMENTS[0], headers={"If-None-Match": form.format(etag)}).status_code == 304


def test_strong_form_of_the_etag_matches(client: Client):
    etag = client.get(DOCUMENTS[0]).headers["etag"].removeprefix("W/")
    assert client.get(DOCUMENTS[0], headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("held", ['W/"other"', '"', "", "W/", "nonsense"])
def test_other_etag_gets_the_body(client: Client, held: str):
    assert client.get(DOCUMENTS[0], headers={"If-None-Match": held}).status_code == 200


def test_body_and_etag_stay_until_something_changes(world: World):
    first, second = (world.client.get(DOCUMENTS[0]) for _ in range(2))
    assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])
    world.gpus.register_task([0], "training", "t")
    assert world.client.get(DOCUMENTS[0]).headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_reading_tells_its_age(client: Client, path: str):
    assert 0 <= int(client.get(path).headers["age"]) < 60


@pytest.mark.parametrize("path", ["/api/v1/gpu/status", "/metrics"])
def test_large_document_is_compressed_when_asked_for(client: Client, path: str):
    async def ask() -> tuple[bytes, dict[str, str]]:
        # httpx unpacks what it gets; the raw bytes are in the stream.
        request = client._http.build_request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = await client._http.send(request, stream=True)
        return b"".join([part async for part in answer.aiter_raw()]), dict(answer.headers)

    packed, headers = client.run(ask())
    plain = client.get(path)
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain.content
    assert int(headers["content-length"]) == len(packed) < len(plain.content)
    assert headers["etag"] == plain.headers["etag"]


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "*;q=0", "deflate, gzip; q=0.0"])
def test_document_is_not_compressed_against_the_client(client: Client, accepted: str):
    assert "content-encoding" not in client.get("/api/v1/gpu/status", headers={"Accept-Encoding": accepted}).headers


def test_small_document_is_not_compressed(client: Client):
    answer = client.get("/api/v1/gpu/summary", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", DOCUMENTS)
def test_document_varies_with_the_encoding(client: Client, path: str):
    assert "accept-encoding" in client.get(path).headers["vary"].lower()


def test_lost_gpu_that_is_no_longer_listed_is_found_by_its_uuid(fake_world: World, source: FakeSource):
    gone = source.identities.pop()
    fake_world.sweep()
    assert fake_world.client.data(f"{GPU}/{gone.uuid}")["status"] == "lost"


def test_cursor_of_any_other_form_is_refused(client: Client):
    for cursor in ("", "x", "-1", "1~a", "1" * 19, "1.5", "NaN"):
        answer = client.get(f"{GPU}/tasks", params={"cursor": cursor})
        assert answer.status_code == 422
        assert failure_of(answer)["error"]["errors"][0]["pointer"] == "/cursor"
