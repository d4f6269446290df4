from dataclasses import replace

import pytest

from api.gpus.sources.source import FakeSource
from tests.api.client import Client, failure_of
from tests.api.conftest import World

GPU = "/api/v1/gpu"


def test_available_gpus_are_sorted_by_free_gigabytes(fake_world: World, source: FakeSource):
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
        "startable",
        "startable_reason",
        "startable_reason_code",
    }
    assert "flux" in gpu["recommended_for"]


def test_count_limits_the_list_but_not_the_total(client: Client):
    data = client.data(f"{GPU}/available?count=1")
    assert (len(data["available_gpus"]), data["total_available"]) == (1, 4)


def test_min_memory_excludes_smaller_gpus(fake_world: World, source: FakeSource):
    source.set_memory(0, 900)
    fake_world.sweep()
    data = fake_world.client.data(f"{GPU}/available?min_memory=23677")
    assert [gpu["gpu_id"] for gpu in data["available_gpus"]] == [1, 2, 3]


def test_gpu_with_unknown_memory_satisfies_no_minimum(make_world, source: FakeSource):
    source.vitals[0] = replace(source.vitals[0], memory_free_mb=None)
    client = make_world(source).client
    assert 0 not in [gpu["gpu_id"] for gpu in client.data(f"{GPU}/available?min_memory=1")["available_gpus"]]
    assert 0 in [gpu["gpu_id"] for gpu in client.data(f"{GPU}/available")["available_gpus"]]


def test_model_type_requires_its_training_memory(client: Client):
    assert client.data(f"{GPU}/available?model_type=flux&min_memory=30000")["total_available"] == 0
    assert client.data(f"{GPU}/available?model_type=flux&task_type=training")["total_available"] == 4


def test_model_type_requires_nothing_for_preprocessing(client: Client):
    assert client.data(f"{GPU}/available?model_type=flux&task_type=preprocessing")["total_available"] == 4


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
def test_invalid_parameter_is_rejected(shared_client: Client, query: str, pointer: str):
    answer = shared_client.get(f"{GPU}/available?{query}")
    assert answer.status_code == 422
    envelope = failure_of(answer)
    assert envelope["error"]["code"] == "validation_failed"
    assert [mistake["pointer"] for mistake in envelope["error"]["errors"]] == [pointer]


def test_all_errors_are_reported_together(client: Client):
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
def test_unknown_parameter_is_rejected_with_a_suggestion(client: Client, path: str, meant: str):
    answer = client.get(path)
    assert answer.status_code == 422
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["message"] == f'unknown field; did you mean "{meant}"?'


def test_dissimilar_unknown_parameter_is_rejected_with_the_known_ones(client: Client):
    (mistake,) = failure_of(client.get(f"{GPU}/available?zzz=1"))["error"]["errors"]
    assert "min_memory" in mistake["message"]


@pytest.mark.parametrize("path", ["/status", "/summary", "/0", "/0/details", "/0/processes"])
def test_route_without_parameters_ignores_them(client: Client, path: str):
    assert client.get(f"{GPU}{path}?cache=bust&a=1").status_code == 200
