"""Nodes through the API: reported with their own keys, listed, drained and forgotten."""

from typing import Any

import pytest

from api.gpus.sources.source import FakeSource
from tests.api.client import Client
from tests.api.conftest import MakeWorld, World
from tests.api.streams import GPU_SOCKET, GPU_STREAM, listen, refusal
from tests.unit.builders import reading, uuid_of
from tests.unit.nodes.builders import report

NODES, GPUS = "/api/v1/nodes", "/api/v1/gpu"


def send_report(client: Client, name: str = "gpu2", index: int = 7, **changes: Any) -> Any:
    """Send a node's report with one free GPU."""
    return client.post(f"{NODES}/{name}/report", json={"report": report(reading(index, processes=()), **changes)})


def publish(world: World) -> None:
    world.gpus.check_freshness()


def test_single_machine_is_one_node_and_its_gpus_name_none(world: World):
    (node,) = world.client.data(NODES)["nodes"]
    assert (node["state"], node["is_this_server"], node["gpus"]["total"]) == ("up", True, 4)
    assert "node" not in world.client.data(f"{GPUS}/0")
    assert "nodes" not in world.client.data(f"{GPUS}/status")


def test_reporting_node_is_visible_everywhere(world: World):
    assert send_report(world.client).status_code == 200
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
    assert client.data(f"{GPUS}/events?node=gpu2")["events"][0]["message"] == "node gpu2: it is up"
    assert [node["name"] for node in client.data("/api/v1/system/overview")["nodes"]][1] == "gpu2"
    text = client.get("/metrics").text
    assert f'uuid="{uuid_of(7)}",node="gpu2"' in text
    for path in ("status", "summary", "available", "events"):
        refused = client.get(f"{GPUS}/{path}?node=gpu9")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "node_not_found"), path


def test_events_of_a_node_are_kept_after_it_is_forgotten(world: World):
    # Events of a single machine do not name it.
    body = {"gpu_ids": [0], "task_type": "training", "task_id": "mine"}
    world.client.post(f"{GPUS}/tasks", json=body)
    own = world.client.data(NODES)["nodes"][0]["name"]
    before = world.client.data(f"{GPUS}/events?node={own}")["events"]
    send_report(world.client)
    publish(world)
    assert world.client.data(f"{GPUS}/events?node={own}")["events"] == before != []
    assert world.client.data(f"{GPUS}/events?gpu_id={own}:0")["events"] == before
    (result,) = world.client.data(f"{GPUS}/events?node=gpu2")["events"]
    send_report(world.client, leaves=True)
    publish(world)
    assert world.client.delete(f"{NODES}/gpu2").status_code == 200
    publish(world)
    assert world.client.get(f"{GPUS}/status?node=gpu2").status_code == 404
    assert result in world.client.data(f"{GPUS}/events?node=gpu2")["events"]


def test_rejected_claim_names_the_gpus_of_each_machine(world: World):
    send_report(world.client)
    publish(world)
    own = world.client.data(NODES)["nodes"][0]["name"]
    body = {"gpu_ids": [f"{own}:0"], "task_type": "training", "task_id": "mine"}
    world.client.post(f"{GPUS}/tasks", json=body)
    refused = world.client.post(f"{GPUS}/tasks", json={**body, "task_id": "next"}).json()
    assert refused["error"]["detail"] == f"GPU {own}:0 is held by mine."
    assert refused["data"]["available_gpus"] == [f"{own}:1", f"{own}:2", f"{own}:3", "gpu2:7"]
    # Nothing can start on the other machine.
    request = {"model_type": "toy", "config": {"epochs": 1}}
    refused = world.client.post("/api/v1/training/start", json={**request, "gpu_count": 4, "queue": False}).json()
    assert f"GPU {own}:0 is held by mine" in refused["error"]["detail"]
    assert refused["data"]["available_gpus"] == [f"{own}:1", f"{own}:2", f"{own}:3"]
    mistaken = world.client.post("/api/v1/training/start", json={**request, "gpu_id": "gpu2:7"}).json()
    assert "No node on which trainings can start" in mistaken["error"]["errors"][0]["message"]


def test_program_registers_a_gpu_of_another_machine_by_uuid(world: World):
    send_report(world.client)
    publish(world)
    body = {"gpu_ids": ["gpu2:7"], "task_type": "training", "task_id": "mine"}
    assert world.client.post(f"{GPUS}/tasks", json={**body, "pid": 1}).json()["error"]["code"] == "process_not_running"
    assert world.client.post(f"{GPUS}/tasks", json=body).status_code == 201
    assert world.client.data(f"{NODES}/gpu2")["tasks"][0]["task_id"] == "mine"
    assert send_report(world.client).json()["data"]["held"][0]["gpu_uuids"] == [uuid_of(7)]


def test_drained_node_starts_nothing_and_queued_tasks_say_why(world: World):
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


def test_drain_is_audited(world: World):
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
def test_invalid_report_is_rejected_and_changes_nothing(world: World, body: bytes):
    answer = world.client.post(f"{NODES}/gpu2/report", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert len(world.client.data(NODES)["nodes"]) == 1


def test_huge_report_is_rejected(world: World):
    body = b'{"report": {"a": "' + b"x" * 2**21 + b'"}}'
    answer = world.client.post(f"{NODES}/gpu2/report", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_nodes_key_may_only_report_until_it_is_revoked(make_world: MakeWorld):
    world = make_world(source=FakeSource(count=1), auth="required")
    key, shown = world.make_key("gpu2", None, permissions=["nodes:report"])
    node = world.client.showing({"Authorization": f"Bearer {shown}"})
    assert send_report(node).status_code == 200
    # The key is for one machine, even if the other name is unused.
    assert "gpu2" in send_report(node, "gpu3").json()["message"]
    for path in (NODES, f"{GPUS}/status", "/api/v1/training/list"):
        assert node.get(path).status_code == 403
    assert node.post(f"{NODES}/gpu2/drain", json={"reason": "x"}).status_code == 403
    world.revoke(key)
    assert send_report(node).status_code == 401
    assert send_report(world.signed_in("ann", "trainer").client).status_code == 403


@pytest.mark.parametrize("path", [GPU_STREAM, GPU_SOCKET])
def test_stream_of_a_node_has_the_content_of_its_status(world: World, path: str):
    send_report(world.client)
    publish(world)
    status = world.client.data(f"{GPUS}/status?node=gpu2")

    async def talk() -> Any:
        async with world.client.live(), listen(world.client, path, "node=gpu2", {"Last-Event-ID": "1"}) as stream:
            return await stream.next()

    assert world.client.run(talk()).data == status
    assert [gpu["node"] for gpu in status["gpus"]] == ["gpu2"]


@pytest.mark.parametrize("path", [GPU_STREAM, GPU_SOCKET])
@pytest.mark.parametrize("query", ["node=gpu9", "node=", f"node={'x' * 256}"])
def test_stream_of_an_unknown_node_is_rejected_like_its_status(shared_world: World, path: str, query: str):
    result = shared_world.client.get(f"{GPUS}/status?{query}")

    status, answer = refusal(shared_world.client, path, query)
    assert (status, answer["error"]["code"]) == (result.status_code, result.json()["error"]["code"])
