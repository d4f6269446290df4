"""Sample sets and workflows: validated, versioned, private unless shared, and used for samples."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from api.domain.access.principal import ROLE_PERMISSIONS, Credential, Principal, Role
from api.errors import SampleSetExists
from tests.api.conftest import TOY, TRAINING, World, open_world
from tests.api.datasets import refusal_of
from tests.comfyui_server import WORKFLOW
from tests.databases import BACKENDS, fresh_postgres

SETS, WORKFLOWS = "/api/v1/sample-sets", "/api/v1/workflows"
BODY: dict[str, Any] = {"name": "portraits", "prompts": [{"text": "{trigger} smiles"}, {"text": "a cat", "seed": 7}]}
OWN: dict[str, Any] = {"name": "Mine", "model_type": "flux", "workflow": WORKFLOW}


@pytest.fixture(params=BACKENDS)
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A server that requires keys, on either database."""
    with ExitStack() as stack:
        url = stack.enter_context(fresh_postgres()) if request.param == "postgresql" else None
        more = {} if url is None else {"database_url": url}
        yield open_world(stack, tmp_path / "storage", auth="required", rate_limits=(), **more)


@pytest.fixture
def ann(guarded: World) -> World:
    return guarded.signed_in("ann")


@pytest.fixture
def bob(guarded: World) -> World:
    return guarded.signed_in("bob")


def save(world: World, path: str = SETS, **fields: Any) -> dict[str, Any]:
    made = world.client.post(path, json={**(BODY if path == SETS else OWN), **fields})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()["data"]
    assert made.headers["location"] == f"{path}/{found['name'] if path == SETS else found['workflow_id']}"
    return found


def pointers(answer: Any) -> list[str]:
    assert refusal_of(answer) == (422, "validation_failed"), answer.text
    return [each["pointer"] for each in answer.json()["error"]["errors"]]


def test_changed_prompts_make_a_version_and_earlier_ones_stay(ann: World):
    made = save(ann)
    assert (made["version"], made["latest"], made["owner"], made["shared"], made["seed"]) == (1, 1, "ann", False, 1)
    changed = ann.client.patch(f"{SETS}/portraits", json={"prompts": [{"text": "a dog"}], "width": 512}).json()["data"]
    assert (changed["version"], [each["text"] for each in changed["prompts"]]) == (2, ["a dog"])
    first = ann.client.data(f"{SETS}/portraits?version=1")
    assert (first["version"], first["latest"], first["prompts"], first["width"]) == (1, 2, made["prompts"], None)
    again = ann.client.patch(f"{SETS}/portraits", json={"width": 512, "shared": True, "name": "faces"}).json()["data"]
    assert (again["name"], again["version"], again["shared"]) == ("faces", 2, True)
    assert ann.client.patch(f"{SETS}/faces", json={"width": None}).json()["data"]["width"] is None
    listed = ann.client.data(SETS)
    assert [(each["name"], each["version"]) for each in listed["sample_sets"]] == [("faces", 3)]
    assert {"model_type": "wan", "width": 832, "height": 480, "frames": 33, "steps": 30} in listed["defaults"]
    assert ann.client.delete(f"{SETS}/faces").json()["data"] == {"name": "faces"}
    assert refusal_of(ann.client.get(f"{SETS}/faces")) == (404, "sample_set_not_found")
    assert save(ann)["version"] == 1


def test_private_sets_and_workflows_are_not_found_by_others(guarded: World, ann: World, bob: World):
    save(ann)
    own = save(ann, WORKFLOWS)["workflow_id"]
    for path, code in ((f"{SETS}/portraits", "sample_set_not_found"), (f"{WORKFLOWS}/{own}", "workflow_not_found")):
        assert refusal_of(bob.client.get(path)) == (404, code)
        assert refusal_of(bob.client.delete(path)) == (404, code)
    assert bob.client.data(SETS)["sample_sets"] == bob.client.data(WORKFLOWS)["workflows"] == []
    assert refusal_of(bob.client.post(SETS, json={**BODY, "name": "x", "workflow": own})) == (404, "workflow_not_found")
    ann.client.patch(f"{SETS}/portraits", json={"shared": True})
    assert bob.client.data(f"{SETS}/portraits")["owner"] == "ann"
    assert refusal_of(bob.client.patch(f"{SETS}/portraits", json={"seed": 2})) == (403, "not_yours")
    assert refusal_of(bob.client.post(SETS, json={**BODY, "shared": True})) == (409, "sample_set_exists")
    assert guarded.signed_in("root", "admin").client.delete(f"{WORKFLOWS}/{own}").status_code == 200


def test_name_of_a_private_set_is_free_for_others_and_means_the_own_one(ann: World, bob: World):
    save(ann, seed=1)
    save(bob, seed=2)
    assert refusal_of(bob.client.post(SETS, json=BODY)) == (409, "sample_set_exists")
    assert [each.client.data(f"{SETS}/portraits")["seed"] for each in (ann, bob)] == [1, 2]
    assert ann.client.patch(f"{SETS}/portraits", json={"shared": True}).status_code == 200
    assert bob.client.data(f"{SETS}/portraits")["seed"] == 2
    assert [each["owner"] for each in bob.client.data(SETS)["sample_sets"]] == ["bob", "ann"]
    assert bob.client.data(f"{SETS}/portraits?owner=ann")["seed"] == 1
    assert refusal_of(bob.client.patch(f"{SETS}/portraits?owner=ann", json={"seed": 3})) == (403, "not_yours")
    assert refusal_of(bob.client.delete(f"{SETS}/portraits?owner=ann")) == (403, "not_yours")
    # Two sets of one name cannot be shared.
    assert refusal_of(bob.client.patch(f"{SETS}/portraits", json={"shared": True})) == (409, "sample_set_exists")
    assert bob.client.delete(f"{SETS}/portraits").status_code == 200
    assert bob.client.data(f"{SETS}/portraits")["owner"] == "ann"


def test_administrator_names_the_owner_of_one_of_several_private_sets(guarded: World, ann: World, bob: World):
    root = guarded.signed_in("root", "admin")
    save(ann, seed=1)
    assert root.client.data(f"{SETS}/portraits")["owner"] == "ann"
    save(bob, seed=2)
    for answer in (root.client.get(f"{SETS}/portraits"), root.client.delete(f"{SETS}/portraits")):
        assert refusal_of(answer) == (409, "sample_set_ambiguous")
    assert root.client.patch(f"{SETS}/portraits?owner=bob", json={"seed": 3}).json()["data"]["owner"] == "bob"
    assert root.client.delete(f"{SETS}/portraits?owner=bob").status_code == 200
    assert root.client.data(f"{SETS}/portraits")["seed"] == 1
    assert refusal_of(root.client.get(f"{SETS}/portraits?owner=eve")) == (404, "sample_set_not_found")


def test_empty_owner_means_a_set_without_one(guarded: World, ann: World):
    root = guarded.signed_in("root", "admin")
    save(ann)
    assert refusal_of(root.client.delete(f"{SETS}/portraits?owner=")) == (404, "sample_set_not_found")


def test_ambiguous_name_is_one_of_all_errors_of_a_request(guarded: World, ann: World, bob: World):
    save(ann)
    save(bob)
    request = {**TOY, "config": {"epochs": 0}, "samples": {"sample_set": "portraits"}}
    root = guarded.signed_in("root", "admin")
    shown = root.client.post(f"{TRAINING}/validate", json=request).json()["data"]
    assert {"/samples/sample_set", "/config/epochs"} <= {each["pointer"] for each in shown["errors"]}


def test_unknown_and_hidden_sets_of_an_owner_are_equal(ann: World, bob: World):
    save(ann)
    hidden, unknown = (bob.client.get(f"{SETS}/{name}?owner=ann") for name in ("portraits", "landscape"))
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json()["message"].replace("portraits", "landscape") == unknown.json()["message"]
    assert bob.client.get(f"{SETS}/portraits?owner=%00").status_code == 422


def test_two_users_share_a_name_at_once(guarded: World, ann: World, bob: World):
    save(ann)
    save(bob)
    service, role = guarded.runtime.services.samples.sets, Role.TRAINER

    def share(name: str) -> str:
        try:
            service.change("portraits", {"shared": True}, Principal(name, role, ROLE_PERMISSIONS[role], Credential.KEY))
        except SampleSetExists:
            return "refused"
        return "shared"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(share, ("ann", "bob"))) == ["refused", "shared"]


@pytest.mark.parametrize(
    ("pointer", "fields"),
    [
        ("/name", {"name": "../x"}),
        ("/prompts", {"prompts": []}),
        ("/prompts/0/text", {"prompts": [{"text": "\0"}]}),
        ("/seed", {"seed": 2**53}),
        ("/width", {"width": 8}),
        ("/strength", {"strength": 100}),
        ("/workflow", {"workflow": "x"}),
    ],
)
def test_invalid_sets_are_rejected_at_their_pointer(world: World, pointer: str, fields: dict[str, Any]):
    assert pointers(world.client.post(SETS, json={**BODY, **fields})) == [pointer]


def test_nodes_of_a_workflow_are_found_and_can_be_named(world: World):
    found = world.client.post(f"{WORKFLOWS}/nodes", json={"workflow": WORKFLOW}).json()["data"]
    assert (found["nodes"]["lora"], found["nodes"]["output"], found["missing"]) == (["lora"], "save", [])
    assert found["nodes"]["prompt"] == [{"node": "text", "input": "text"}]
    assert found["nodes"]["negative"] == [{"node": "not", "input": "text"}]
    assert found["nodes"]["steps"] == [{"node": "sampler", "input": "steps"}]
    assert world.client.data(WORKFLOWS)["workflows"] == []
    made = save(world, WORKFLOWS, nodes={"prompt": [{"node": "not", "input": "text"}]})
    assert made["nodes"]["prompt"] == [{"node": "not", "input": "text"}]
    assert world.client.data(f"{WORKFLOWS}/{made['workflow_id']}")["workflow"] == WORKFLOW
    assert "workflow" not in world.client.data(f"{WORKFLOWS}?model_type=flux")["workflows"][0]
    assert refusal_of(world.client.post(WORKFLOWS, json=OWN)) == (409, "workflow_exists")


def test_missing_nodes_are_named(world: World):
    without = {name: node for name, node in WORKFLOW.items() if name not in ("save", "lora")}
    without["sampler"] = {**WORKFLOW["sampler"], "inputs": {**WORKFLOW["sampler"]["inputs"], "model": ["model", 0]}}
    found = world.client.post(f"{WORKFLOWS}/nodes", json={"workflow": without}).json()["data"]
    assert [each["field"] for each in found["missing"]] == ["lora", "output"]
    assert found["nodes"]["output"] is None
    assert pointers(world.client.post(WORKFLOWS, json={**OWN, "workflow": without})) == ["/nodes/lora", "/nodes/output"]
    wrong = {**OWN, "nodes": {"prompt": [{"node": "99", "input": "text"}]}}
    assert pointers(world.client.post(WORKFLOWS, json=wrong)) == ["/nodes"]
    loads = {**OWN, "nodes": {"prompt": [{"node": "model", "input": "unet_name"}]}}
    assert pointers(world.client.post(WORKFLOWS, json=loads)) == ["/nodes"]


@pytest.mark.parametrize(
    "node",
    [
        {"class_type": "FetchURL", "inputs": {"url": "http://169.254.169.254/"}},
        {"class_type": "LoadImage", "inputs": {"image": "../../etc/passwd"}},
        {"class_type": "SaveText", "inputs": {"file": "/etc/cron.d/x"}},
        {"class_type": "LoadImage", "inputs": {"image": "C:\\Windows\\x.png"}},
        {"class_type": "LoadImage", "inputs": {"image": ["/etc/passwd"]}},
        {"class_type": "FetchURL", "inputs": {"text": "http://169.254.169.254/"}},
        {"class_type": "X", "inputs": json.loads("[" * 40 + "]" * 40)},
        {"class_type": "X", "inputs": {"a": ["missing", 0]}},
    ],
)
def test_hostile_workflows_are_refused(world: World, node: dict[str, Any]):
    assert pointers(world.client.post(WORKFLOWS, json={**OWN, "workflow": {**WORKFLOW, "x": node}})) == ["/workflow"]
