"""Many clients that request the same GPUs."""

import asyncio
import re
import subprocess
from collections import Counter
from typing import Any

import httpx
import orjson

from tests.e2e.conftest import Start
from tests.e2e.server import BASE, ServerProcess, until

TASKS = f"{BASE}/gpu/tasks"
EIGHT = {"SIMULATED_GPUS": "8x NVIDIA L40S"}


async def post_all(
    server: ServerProcess, bodies: list[dict[str, Any]], at_once: int = 100, headers: str = ""
) -> list[Any]:
    """Post every body over this many busy connections; return (status, body) of each response."""
    waiting = list(reversed(bodies))
    answers = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while waiting:
            body = orjson.dumps(waiting.pop())
            head = f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer_head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", answer_head)[1])
            answers.append((int(answer_head[9:12]), orjson.loads(await reader.readexactly(length))))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(at_once)))
    return answers


def held(server: ServerProcess) -> Counter[int]:
    return Counter(
        gpu for task in server.get("/gpu/tasks", params={"limit": "500"})["tasks"] for gpu in task["gpu_ids"]
    )


def test_two_thousand_claims_assign_each_of_eight_gpus_once(start: Start) -> None:
    server = start(**EIGHT)
    bodies = [{"gpu_ids": [i % 8], "task_type": "training"} for i in range(2_000)]
    answers = asyncio.run(post_all(server, bodies))
    assert Counter(status for status, _ in answers) == {201: 8, 409: 1_992}
    assert held(server) == dict.fromkeys(range(8), 1)


def test_claims_of_several_gpus_get_all_or_none(start: Start) -> None:
    server = start(**EIGHT)
    bodies = [{"gpu_ids": [i % 8, (i * 3 + 1) % 8, (i * 5 + 2) % 8], "task_type": "training"} for i in range(500)]
    bodies = [body for body in bodies if len(set(body["gpu_ids"])) == 3]
    answers = asyncio.run(post_all(server, bodies))
    got = [body["data"]["gpu_ids"] for status, body in answers if status == 201]
    assert {status for status, _ in answers} <= {201, 409}
    assert sorted(held(server).elements()) == sorted(gpu for gpus in got for gpu in gpus)
    assert set(held(server).values()) == {1}


def test_concurrent_claims_and_releases_never_assign_a_gpu_twice(start: Start) -> None:
    server = start(SIMULATED_GPUS="2x NVIDIA L40S", GPU_MONITOR_INTERVAL="0.1")
    holders: Counter[int] = Counter()
    twice: list[int] = []
    statuses: Counter[int] = Counter()

    async def churn() -> None:
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(
            base_url=server.client.base_url, timeout=30, limits=limits, trust_env=False
        ) as client:

            async def one(number: int) -> None:
                for _ in range(25):
                    gpu = number % 2
                    answer = await client.post(TASKS, json={"gpu_ids": [gpu], "task_type": "training"})
                    statuses[answer.status_code] += 1
                    if answer.status_code != 201:
                        continue
                    holders[gpu] += 1
                    if holders[gpu] > 1:
                        twice.append(gpu)
                    task_id = answer.json()["data"]["task_id"]
                    assert (await client.patch(f"{TASKS}/{task_id}", json={"progress": 50})).status_code == 200
                    # Recorded before the release, because another client may have it immediately afterwards.
                    holders[gpu] -= 1
                    assert (await client.delete(f"{TASKS}/{task_id}")).status_code == 200

            await asyncio.gather(*map(one, range(16)))

    asyncio.run(churn())
    assert twice == []
    assert set(statuses) <= {201, 409}
    assert server.get("/gpu/tasks")["tasks"] == []
    assert server.tracebacks() == []


def test_status_agrees_with_the_preceding_answer(start: Start) -> None:
    server = start(**EIGHT)
    for i in range(40):
        task = server.register(gpu_ids=[i % 8]).json()["data"]
        assert server.gpu(i % 8)["current_task"]["task_id"] == task["task_id"]
        assert i % 8 not in [g["gpu_id"] for g in server.get("/gpu/available")["available_gpus"]]
        server.client.delete(f"{TASKS}/{task['task_id']}")
        assert server.gpu(i % 8)["current_task"] is None


def test_task_of_a_dead_process_is_released_within_three_sweeps(start: Start) -> None:
    server = start(**EIGHT)
    child = subprocess.Popen(["sleep", "60"])
    try:
        task = server.register(gpu_ids=[0, 1], pid=child.pid).json()["data"]
    finally:
        child.kill()
        child.wait()
    until(lambda: server.client.get(f"{TASKS}/{task['task_id']}").status_code == 404, timeout=2)
    assert server.gpu(0)["current_task"] is None
    assert any(task["task_id"] in e["message"] and str(child.pid) in e["message"] for e in server.events(type="task"))
