"""Captions through the API, with the real program and a local endpoint."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.datasets.captions.generation import CaptionEndpoint
from tests.api.conftest import MakeWorld, World
from tests.api.datasets import DATASETS, refusal_of
from tests.api.preprocessing import PREPROCESS, collect_results, fill, work
from tests.media import picture
from tests.vision_endpoint import Endpoint, serve

PROGRAM = "api.jobs.preprocessing.caption_program"
GENERATE = f"{DATASETS}/cats/captions/generate"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serve() as made:
        yield made


@pytest.fixture
def cats(make_world: MakeWorld, endpoint: Endpoint, tmp_path: Path) -> World:
    endpoint.script.clear()
    (tmp_path / "key").write_text("planted-secret\n")
    world = make_world(
        caption_endpoint=endpoint.address, caption_model="m", caption_key_file=tmp_path / "key", caption_price=2.0
    )
    fill(world, "cats", **{"a.png": picture(), "b.png": picture(seed=1), "c.png": picture(seed=2)})
    emptied = {"changes": [{"item_id": item_of(world, "a.png"), "caption": None}]}
    assert world.client.patch(f"{DATASETS}/cats/captions", json=emptied).status_code == 200
    return world


def item_of(world: World, name: str) -> Any:
    return next(item["item_id"] for item in items(world) if item["name"] == name)


def items(world: World) -> Any:
    return world.client.data(f"{DATASETS}/cats/items")["items"]


def captions(world: World) -> dict[str, str]:
    return {item["name"]: item["caption"] for item in items(world)}


def test_estimate_of_captions_is_returned_before_the_start(cats: World):
    reported = cats.client.post(GENERATE, json={"dry_run": True, "only_missing": False})
    assert reported.status_code == 200
    estimate = reported.json()["data"]["estimate"]
    assert (estimate["questions"], estimate["known"], estimate["items"], estimate["model"]) == (3, 0, 3, "m")
    assert (estimate["estimated_cost"], estimate["estimated_seconds"]) == (0.006, None)
    assert cats.client.data(f"{PREPROCESS}/list")["tasks"] == []


def test_missing_captions_are_written_into_a_new_version_that_can_be_undone(cats: World, endpoint: Endpoint):
    made = cats.client.post(GENERATE, json={"template": "short"})
    assert made.status_code == 202
    task = made.json()["data"]["task"]
    assert (task["work"], task["status"]) == ("captioning", "queued")
    output = work(cats, task["task_id"], PROGRAM)
    assert "planted-secret" not in output + cats.client.get(f"{PREPROCESS}/status/{task['task_id']}").text
    assert endpoint.keys[-1] == "Bearer planted-secret"
    collect_results(cats)
    result = cats.client.data(f"{PREPROCESS}/status/{task['task_id']}")["result"]
    assert (result["reference"], result["previous"], result["difference_count"]) == ("cats@3", 2, 1)
    assert result["differences"][0]["before"] is None
    assert captions(cats)["a.png"] == result["differences"][0]["after"]
    assert captions(cats)["b.png"] == "about b.png"
    cats.client.post(f"{DATASETS}/cats/versions/{result['previous']}/restore")
    assert captions(cats)["a.png"] is None
    # Items with a caption are not requested again.
    again = cats.client.post(GENERATE, json={"template": "short", "dry_run": True}).json()["data"]["estimate"]
    assert (again["questions"], again["known"], again["seconds_per_question"]) == (1, 1, result["seconds_per_question"])


def test_key_of_a_new_address_is_not_sent_to_the_former_one(
    cats: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    service = cats.runtime.services.datasets.captioning
    find = service._derivations.find

    def replace_address(*given: Any) -> Any:
        service.endpoint = CaptionEndpoint("http://127.0.0.1:1/v1", "m", key="key-of-the-new-address")
        return find(*given)

    monkeypatch.setattr(service._derivations, "find", replace_address)
    task_id = cats.client.post(GENERATE, json={"template": "short"}).json()["data"]["task"]["task_id"]
    work(cats, task_id, PROGRAM)
    assert endpoint.keys[-1] == "Bearer planted-secret"


def test_invalid_caption_request_is_rejected(cats: World, make_world: MakeWorld):
    both = cats.client.post(GENERATE, json={"prompt": "x", "template": "short"})
    assert refusal_of(both) == (422, "validation_failed")
    filled = {"changes": [{"item_id": item_of(cats, "a.png"), "caption": "x"}]}
    cats.client.patch(f"{DATASETS}/cats/captions", json=filled)
    assert refusal_of(cats.client.post(GENERATE, json={})) == (422, "validation_failed")
    assert refusal_of(cats.client.post(f"{DATASETS}/none/captions/generate", json={})) == (404, "dataset_not_found")


def test_captions_need_an_endpoint(world: World):
    fill(world, "cats", **{"a.png": picture()})
    assert refusal_of(world.client.post(GENERATE, json={}))[0] == 503


def test_command_writes_captions_instead_of_an_endpoint(make_world: MakeWorld):
    argv = (sys.executable, "-I", "-S", "-c", "import os; print(os.environ['CAPTION_PROMPT'])", "{file}")
    world = make_world(caption_command=argv)
    fill(world, "cats", **{"a.png": picture()})
    request = {"prompt": "A cat, $(id)", "only_missing": False}
    estimate = world.client.post(GENERATE, json={**request, "dry_run": True}).json()["data"]["estimate"]
    assert estimate["endpoint"] == estimate["model"] == Path(sys.executable).name
    task_id = world.client.post(GENERATE, json=request).json()["data"]["task"]["task_id"]
    work(world, task_id, PROGRAM)
    collect_results(world)
    assert captions(world) == {"a.png": "A cat, $(id)"}
    assert world.client.post(GENERATE, json={**request, "dry_run": True}).json()["data"]["estimate"]["known"] == 1
