"""Machines by the API: told of by nodes with keys of their own, listed, drained and forgotten."""

from typing import Any

import pytest

from api.gpus.sources.source import FakeSource
from tests.api.client import Client
from tests.api.conftest import MakeWorld, World
from tests.api.streams import GPU_SOCKET, GPU_STREAM, listen, refusal
from tests.unit.builders import reading, uuid_of
from tests.unit.nodes.builders import report

NODES, GPUS = "/api/v1/nodes", "/api/v1/gpu"


def tell(client: Client, name: str = "gpu2", index: int = 7, **changes: Any) -> Any:
    """A node's report: one free GPU."""
    return client.post(f"{NODES}/{name}/report", json={"report": report(reading(index, processes=()), **changes)})


def publish(world: World) -> None:
    world.gpus.check_freshness()


def test_a_machine_alone_is_one_node_and_its_gpus_name_none(world: World):
    (node,) = world.client.data(NODES)["nodes"]
    assert (node["state"], node["is_this_server"], node["gpus"]["total"]) == ("up", True, 4)
    assert "node" not in world.client.data(f"{GPUS}/0")
    assert "nodes" not in world.client.data(f"{GPUS}/status")


def test_a_node_that_tells_of_itself_is_seen_everywhere(world: World):
    assert tell(world.client).status_code == 200
    publish(world)
    client = world.client
    assert {gpu["node"] for gpu in client.data(f"{GPUS}/status?node=gpu2")["gpus"]} == {"gpu2"}
    assert client.data(f"{GPUS}/summary")["total_gpus"] == 5
    assert client.data(f"{GPUS}/summary?node=gpu2")["total_gpus"] == 1
    assert client.data(f"{GPUS}/available?node=gpu2")["available_gpus"][0]["uuid"] == uuid_of(7)
    for name in (uuid_of(7), "gpu2:7", "7"):
        assert client.data(f"{GPUS}/{name}/details")["node"] == "gpu2"
    assert client.data(f"{GPUS}/gpu2:7/processes")["node"] == "gpu2"
    assert client.data(f"{GPUS}/gpu2:7/history")["node"] == "gpu2"
    assert client.data(f"{GPUS}/events?node=gpu2")["events"][0]["message"] == "node gpu2: it is there"
    assert [node["name"] for node in client.data("/api/v1/system/overview")["nodes"]][1] == "gpu2"
    text = client.get("/metrics").text
    assert f'uuid="{uuid_of(7)}",node="gpu2"' in text
    for path in ("status", "summary", "available", "events"):
        refused = client.get(f"{GPUS}/{path}?node=gpu9")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "node_not_found"), path


def test_events_of_a_machine_are_its_own_and_outlive_it(world: World):
    # Of one machine alone no event names it.
    body = {"gpu_ids": [0], "task_type": "training", "task_id": "mine"}
    world.client.post(f"{GPUS}/tasks", json=body)
    own = world.client.data(NODES)["nodes"][0]["name"]
    before = world.client.data(f"{GPUS}/events?node={own}")["events"]
    tell(world.client)
    publish(world)
    assert world.client.data(f"{GPUS}/events?node={own}")["events"] == before != []
    assert world.client.data(f"{GPUS}/events?gpu_id={own}:0")["events"] == before
    (told,) = world.client.data(f"{GPUS}/events?node=gpu2")["events"]
    tell(world.client, leaves=True)
    publish(world)
    assert world.client.delete(f"{NODES}/gpu2").status_code == 200
    publish(world)
    assert world.client.get(f"{GPUS}/status?node=gpu2").status_code == 404
    assert told in world.client.data(f"{GPUS}/events?node=gpu2")["events"]


def test_who_is_refused_gpus_of_several_machines_is_told_of_each_with_its_own(world: World):
    tell(world.client)
    publish(world)
    own = world.client.data(NODES)["nodes"][0]["name"]
    body = {"gpu_ids": [f"{own}:0"], "task_type": "training", "task_id": "mine"}
    world.client.post(f"{GPUS}/tasks", json=body)
    refused = world.client.post(f"{GPUS}/tasks", json={**body, "task_id": "next"}).json()
    assert refused["error"]["detail"] == f"GPU {own}:0 is held by mine."
    assert refused["data"]["available_gpus"] == [f"{own}:1", f"{own}:2", f"{own}:3", "gpu2:7"]
    # Nothing can be started on the other machine.
    wish = {"model_type": "toy", "config": {"epochs": 1}}
    refused = world.client.post("/api/v1/training/start", json={**wish, "gpu_count": 4, "queue": False}).json()
    assert f"GPU {own}:0 is held by mine" in refused["error"]["detail"]
    assert refused["data"]["available_gpus"] == [f"{own}:1", f"{own}:2", f"{own}:3"]
    mistaken = world.client.post("/api/v1/training/start", json={**wish, "gpu_id": "gpu2:7"}).json()
    assert "a machine on which trainings are started" in mistaken["error"]["errors"][0]["message"]


def test_a_program_holds_another_machines_gpu_by_uuid(world: World):
    tell(world.client)
    publish(world)
    body = {"gpu_ids": ["gpu2:7"], "task_type": "training", "task_id": "mine"}
    assert world.client.post(f"{GPUS}/tasks", json={**body, "pid": 1}).json()["error"]["code"] == "process_not_running"
    assert world.client.post(f"{GPUS}/tasks", json=body).status_code == 201
    assert world.client.data(f"{NODES}/gpu2")["tasks"][0]["task_id"] == "mine"
    assert tell(world.client).json()["data"]["held"][0]["gpu_uuids"] == [uuid_of(7)]


def test_nothing_new_starts_on_a_drained_machine_and_what_waits_says_why(world: World):
    own = world.client.data(NODES)["nodes"][0]["name"]
    running = world.run()
    drained = world.client.post(f"{NODES}/{own}/drain", json={"reason": "its fans are replaced"})
    assert (drained.status_code, drained.json()["data"]["state"]) == (200, "draining")
    waiting = world.start()
    world.train()
    assert "its fans are replaced" in world.get(waiting)["waiting_reason"]
    assert (world.get(waiting)["status"], world.get(running)["status"]) == ("queued", "running")
    assert world.client.data(f"{GPUS}/available")["total_available"] == 0
    assert world.client.post(f"{NODES}/{own}/undrain").json()["data"]["drain"] is None
    world.train()
    assert world.get(waiting)["status"] == "starting"


def test_who_drains_a_machine_is_audited(world: World):
    own = world.client.data(NODES)["nodes"][0]["name"]
    world.client.post(f"{NODES}/{own}/drain", json={"reason": "fans"})
    entry = world.client.data("/api/v1/auth/audit")["entries"][0]
    assert (entry["operation"], entry["object"]) == (f"POST {NODES}/<name>/drain", own)
    assert entry["after"]["drain_reason"] == "fans"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"report": []}',
        b'{"report": {"format": 1}}',
        b'{"report": {"format": 99}}',
        b'{"report": {"format": 1, "gpus": ' + b"[" * 900 + b"]" * 900 + b"}}",
        b"\x00garbage",
    ],
)
def test_garbage_from_a_node_is_refused_and_changes_nothing(world: World, body: bytes):
    answer = world.client.post(f"{NODES}/gpu2/report", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert len(world.client.data(NODES)["nodes"]) == 1


def test_a_huge_report_is_refused(world: World):
    body = b'{"report": {"a": "' + b"x" * 2**21 + b'"}}'
    answer = world.client.post(f"{NODES}/gpu2/report", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_a_nodes_key_tells_and_does_nothing_else_until_it_is_revoked(make_world: MakeWorld):
    world = make_world(source=FakeSource(count=1), auth="required")
    key, shown = world.make_key("gpu2", None, permissions=["nodes:report"])
    node = world.client.showing({"Authorization": f"Bearer {shown}"})
    assert tell(node).status_code == 200
    # It speaks for one machine, also where nobody has another's name.
    assert "gpu2" in tell(node, "gpu3").json()["message"]
    for path in (NODES, f"{GPUS}/status", "/api/v1/training/list"):
        assert node.get(path).status_code == 403
    assert node.post(f"{NODES}/gpu2/drain", json={"reason": "x"}).status_code == 403
    world.revoke(key)
    assert tell(node).status_code == 401
    assert tell(world.signed_in("ann", "trainer").client).status_code == 403


@pytest.mark.parametrize("path", [GPU_STREAM, GPU_SOCKET])
def test_a_stream_of_one_node_has_what_its_status_has(world: World, path: str):
    tell(world.client)
    publish(world)
    status = world.client.data(f"{GPUS}/status?node=gpu2")

    async def talk() -> Any:
        async with world.client.live(), listen(world.client, path, "node=gpu2", {"Last-Event-ID": "1"}) as stream:
            return await stream.next()

    assert world.client.run(talk()).data == status
    assert [gpu["node"] for gpu in status["gpus"]] == ["gpu2"]


@pytest.mark.parametrize("path", [GPU_STREAM, GPU_SOCKET])
@pytest.mark.parametrize("query", ["node=gpu9", "node=", f"node={'x' * 256}"])
def test_a_stream_of_an_unknown_node_is_refused_as_its_status_is(shared_world: World, path: str, query: str):
    told = shared_world.client.get(f"{GPUS}/status?{query}")

    status, answer = refusal(shared_world.client, path, query)
    assert (status, answer["error"]["code"]) == (told.status_code, told.json()["error"]["code"])
