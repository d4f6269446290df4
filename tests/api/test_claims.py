"""Claims: other programs announce that they use a GPU."""

import runpy
import sys
import urllib.request
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from api.domain.access.principal import Role
from api.util.clock import FakeClock
from tests.api.conftest import MakeWorld, World
from tests.api.test_schedule import leave, start_on_first
from tests.documents import ROOT

CLAIM = "/api/v1/gpu/0/claim"
BODY: dict[str, Any] = {"name": "ComfyUI", "memory_mb": 12_000, "ttl_seconds": 120}


@pytest.fixture
def world(make_world: MakeWorld, clock: FakeClock) -> World:
    return make_world(clock=clock)


def claim(world: World, **fields: Any) -> Any:
    answer = world.client.post(CLAIM, json=BODY | fields)
    assert answer.status_code == 200, answer.text
    world.sweep()
    return answer.json()["data"]["claims"]


def test_claimed_gpu_gets_no_training_until_the_claim_expires(world: World, clock: FakeClock) -> None:
    (shown,) = claim(world)
    assert (shown["name"], shown["memory_mb"]) == ("ComfyUI", 12_000)
    assert world.client.data("/api/v1/gpu/0")["claims"] == [shown]
    task_id = world.start(gpu_ids=[0])
    world.train()
    waits = world.get(task_id)
    assert (waits["status"], waits["waiting_reason_code"]["code"]) == ("queued", "neighbour")
    assert "ComfyUI uses GPU 0: claimed until" in waits["waiting_reason"]
    assert waits["estimated_start"] == shown["expires_at"]
    clock.advance(121)
    world.sweep()
    world.train()
    assert world.get(task_id)["status"] == "starting"
    assert world.client.data("/api/v1/gpu/0")["claims"] == []
    assert world.client.data("/api/v1/system/holds")["holds"] == []


def test_same_name_renews_a_claim_and_other_names_add_to_it(world: World, clock: FakeClock) -> None:
    first = claim(world)
    clock.advance(60)
    second = claim(world, memory_mb=None)
    assert (len(second), second[0]["memory_mb"]) == (1, None)
    assert second[0]["expires_at"] > first[0]["expires_at"]
    assert [each["name"] for each in claim(world, name="a game")] == ["ComfyUI", "a game"]


def test_released_gpu_is_used_at_once(world: World) -> None:
    claim(world)
    task_id = world.start(gpu_ids=[0])
    answer = world.client.delete(f"{CLAIM}/ComfyUI")
    assert (answer.status_code, answer.json()["data"]["claims"]) == (200, [])
    world.train()
    assert world.get(task_id)["status"] == "starting"
    again = world.client.delete(f"{CLAIM}/ComfyUI")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "hold_not_found")


def test_running_training_stays_unless_the_neighbour_is_first(world: World, clock: FakeClock) -> None:
    task_id = world.run(gpu_ids=[0])
    claim(world)
    world.train()
    assert world.get(task_id)["status"] == "running"
    changed = world.client.patch("/api/v1/settings", json={"values": {"NEIGHBOUR_RULE": "neighbour_first"}})
    assert changed.status_code == 200, changed.text
    leave(world, task_id, clock)
    waits = world.get(task_id)
    assert (waits["status"], waits["waiting_reason_code"]["code"]) == ("queued", "neighbour")
    events = world.client.data(f"/api/v1/training/{task_id}/events")["events"]
    assert any("It has made room for another program: ComfyUI uses GPU 0" in each["message"] for each in events)
    clock.advance(121)
    world.sweep()
    world.train()
    again = world.get(task_id)
    assert (again["status"], again["attempts"][-1]["resumed_from"] is None) == ("starting", False)


def test_gpu_has_a_maximum_of_claims(world: World, clock: FakeClock) -> None:
    codes = [world.client.post(CLAIM, json=BODY | {"name": f"n{i}"}).status_code for i in range(17)]
    assert codes == [200] * 16 + [409]
    assert world.client.post(CLAIM, json=BODY | {"name": "n3"}).status_code == 200
    # Also where no training loop has ended them.
    clock.advance(BODY["ttl_seconds"])
    assert world.client.data("/api/v1/system/holds")["holds"] == []
    assert world.client.post(CLAIM, json=BODY | {"name": "n16"}).status_code == 200


def test_clock_that_is_set_back_does_not_prolong_a_claim(world: World, clock: FakeClock) -> None:
    claim(world)
    task_id = world.start(gpu_ids=[0])
    clock.jump(-24 * 3600)
    world.train()
    assert world.get(task_id)["status"] == "queued"
    clock.advance(BODY["ttl_seconds"] + 1)
    world.sweep()
    world.train()
    assert world.get(task_id)["status"] == "starting"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a/b"},
        {"name": ""},
        {"name": "x" * 65},
        {"memory_mb": -1},
        {"memory_mb": "1"},
        {"ttl_seconds": 0},
        {"ttl_seconds": 1e9},
        {"other": 1},
    ],
)
def test_invalid_claim_is_refused(world: World, fields: dict[str, Any]) -> None:
    answer = world.client.post(CLAIM, json=BODY | fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "validation_failed")
    assert world.client.post("/api/v1/gpu/99/claim", json=BODY).status_code == 404


def test_trainers_claim_and_release_their_own_only(make_world: MakeWorld) -> None:
    world = make_world(auth="required", visibility="own", rate_limits=())
    ann, bob, root = world.key("ann"), world.key("bob"), world.key("root", Role.ADMIN)
    viewer = world.key("vera", Role.VIEWER)
    start_on_first(world, ann)
    everyone = (viewer, bob, ann, bob)
    codes = [world.client.post(CLAIM, json=BODY, headers=who).status_code for who in everyone]
    assert codes == [403, 403, 200, 403]
    assert world.client.post("/api/v1/gpu/1/claim", json=BODY, headers=ann).status_code == 403
    codes = [world.client.delete(f"{CLAIM}/ComfyUI", headers=who).status_code for who in (bob, root)]
    assert codes == [403, 200]


def test_node_of_comfyui_claims_while_a_user_has_prompts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = (1, "p", {}, {"client_id": "p"}, []), (2, "q", {}, {"client_id": "page"}, [])
    queue = SimpleNamespace(get_current_queue=lambda: ([own], [other]))
    server = SimpleNamespace(PromptServer=SimpleNamespace(instance=SimpleNamespace(prompt_queue=queue)))
    monkeypatch.setitem(sys.modules, "server", server)
    with monkeypatch.context() as loading:
        loading.setattr("threading.Thread.start", lambda thread: None)
        node = SimpleNamespace(**runpy.run_path(str(ROOT / "deploy" / "comfyui" / "dpipe_claim.py")))
    assert node.is_busy()
    queue.get_current_queue = lambda: ([own], [])
    assert not node.is_busy()

    def send(request: urllib.request.Request, timeout: float) -> ExitStack:
        headers = dict(request.header_items())
        answer = world.client.post(request.selector, content=request.data, headers=headers)
        assert answer.status_code == 200, answer.text
        return ExitStack()

    # A redirect would take the key to another address.
    assert node._opener.handle_error["http"][302][0].redirect_request(None, None, 302, "", {}, "http://other/") is None
    monkeypatch.setattr(node._opener, "open", send)
    monkeypatch.setenv("DPIPE_CLAIM_MB", "9000")
    node.claim()
    world.sweep()
    (shown,) = world.client.data("/api/v1/gpu/0")["claims"]
    assert (shown["name"], shown["memory_mb"]) == ("ComfyUI", 9000)
