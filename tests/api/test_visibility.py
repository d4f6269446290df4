"""Visibility of other users' tasks: all in a team, only the own with VISIBILITY=own; and command lines."""

import itertools
import os
from typing import Any

import pytest

from api.domain.machines.reading import XidEvent
from api.domain.tasks.task import ProcessIdentity
from api.errors import DatabaseUnavailable
from api.executors.fake import FakeExecutor
from api.gpus.sources.source import FakeSource
from api.web.operations import Operation, OperationTable
from tests.api.client import failure_of
from tests.api.conftest import TOY, TRAINING, MakeWorld, World
from tests.api.preprocessing import fill, start
from tests.api.streams import EVENTS_STREAM, GPU_STREAM, listen
from tests.api.uploads import picture
from tests.unit.builders import process

GPU = "/api/v1/gpu"
ONLY_READS_GPUS = ["gpus:read", "gpus:register", "training:read", "training:write"]


@pytest.fixture
def own(make_world: MakeWorld, source: FakeSource) -> World:
    return make_world(source, auth="required", visibility="own")


@pytest.fixture
def team(make_world: MakeWorld, source: FakeSource) -> World:
    return make_world(source, auth="required")


def register(world: World, gpu: int = 0, **fields: Any) -> Any:
    body = {"gpu_ids": [gpu], "task_type": "training", "description": "mine", **fields}
    return world.client.post(f"{GPU}/tasks", json=body)


def runs_with_a_process(world: World, user: World, source: FakeSource, **fields: Any) -> str:
    """Run a training of a user, with a process on its GPU."""
    task_id = user.start(**fields)
    world.train()
    executor: FakeExecutor = world.executor
    executor.runs(user.uid(task_id), ProcessIdentity(4711, 1.0))
    source.processes[0] = (process(4711, command=f"python {task_id}"),)
    source.set_memory(0, 8000)
    world.train()
    world.sweep()
    return task_id


# -- owners ------------------------------------------------------------------------------------------------------------


def test_tasks_and_registrations_show_their_owners(team: World):
    ann = team.signed_in("ann")
    task_id = ann.start()
    assert ann.get(task_id)["owner"] == ann.client.data(f"{TRAINING}/list")["tasks"][0]["owner"] == "ann"
    assert register(ann, 1).json()["data"]["owner"] == "ann"


def test_without_keys_tasks_have_no_owner(world: World):
    assert world.get(world.start())["owner"] is None
    assert [row["owner"] for row in world.client.data(f"{TRAINING}/list?owner=me")["tasks"]] == [None]


def test_list_can_be_limited_to_one_user(team: World):
    ann, bob = team.signed_in("ann"), team.signed_in("bob")
    of_ann, of_bob = ann.start(), bob.start()

    def listed(query: str) -> list[str]:
        return [row["task_id"] for row in ann.client.data(f"{TRAINING}/list?{query}")["tasks"]]

    assert listed("") == [of_bob, of_ann]
    assert (listed("owner=me"), listed("owner=bob"), listed("owner=nobody")) == ([of_ann], [of_bob], [])


def test_list_of_another_user_is_empty_if_others_are_hidden(own: World):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    bob.start()
    page = ann.client.data(f"{TRAINING}/list?owner=bob")
    assert (page["tasks"], page["pagination"]["total"]) == ([], 0)


def test_cursor_of_a_hidden_task_is_useless(own: World):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    mine = [ann.start(priority=0), ann.start(priority=9)]
    bob.start(priority=5)
    pages = [ann.client.data(f"{TRAINING}/list?order=queue&cursor={serial}")["tasks"] for serial in (3, 999)]
    assert [[row["task_id"] for row in page] for page in pages] == [mine[::-1], mine[::-1]]


# -- GPUs --------------------------------------------------------------------------------------------------------------


def test_gpu_of_another_user_is_busy_without_details(own: World, source: FakeSource):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    runs_with_a_process(own, bob, source)
    gpu = ann.client.data(f"{GPU}/status")["gpus"][0]
    assert (gpu["status"], gpu["is_available"], gpu["current_task"]) == ("training", False, None)
    assert (gpu["status_reason"], gpu["status_reason_code"]["code"]) == ("held by another user", "held_by_another")
    details = ann.client.data(f"{GPU}/0")
    assert (details["current_task"], details["unavailable"]["current_task"]) == (None, "of_another_user")
    assert bob.client.data(f"{GPU}/0")["current_task"]["description"] is None
    assert bob.client.data(f"{GPU}/status")["gpus"][0]["current_task"]["task_id"]


def test_processes_of_others_show_no_command_line(own: World, source: FakeSource):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    task_id = runs_with_a_process(own, bob, source)
    (theirs,), (his,) = (each.client.data(f"{GPU}/0/processes")["processes"] for each in (ann, bob))
    assert (his["command"], his["task_id"]) == (f"python {task_id}", task_id)
    assert (theirs["command"], theirs["task_id"], theirs["memory"]) == (None, None, his["memory"])
    assert theirs["unavailable"]["command"] == "of_another_user"


def test_registering_a_gpu_or_a_pid_shows_no_command_line_of_others(own: World, source: FakeSource):
    ann = own.signed_in("ann")
    for gpu, pid in ((0, None), (1, os.getpid())):
        source.processes[gpu] = (process(os.getpid(), command="python secret.py"),)
        source.set_memory(gpu, 8000)
        assert register(ann, gpu, **({} if pid is None else {"pid": pid})).status_code == 201
        own.sweep()
        (shown,) = ann.client.data(f"{GPU}/{gpu}")["processes"]
        assert (shown["command"], shown["unavailable"]["command"]) == (None, "of_another_user")
        (full,) = own.signed_in("root", "admin").client.data(f"{GPU}/{gpu}")["processes"]
        assert full["command"] == "python secret.py"


def test_registration_of_a_taken_gpu_does_not_name_its_holder(own: World, team: World):
    for world, output, held in ((own, "another user's task", None), (team, "hers", "hers")):
        bob, ann = world.signed_in("bob"), world.signed_in("ann")
        register(bob, 2, task_id="hers")
        failure = failure_of(register(ann, 2))
        assert failure["error"]["detail"] == f"GPU 2 is held by {output}."
        assert [*failure["data"]["held_by"].values()] == [held]
        assert bool(failure["data"]["current_task"]) is (held is not None)
        world.client.showing(world.key("root", "admin")).delete(f"{GPU}/tasks/hers")


def test_registrations_of_others_are_neither_listed_nor_counted(own: World):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    register(bob, 1)
    page = ann.client.data(f"{GPU}/tasks")
    assert (page["tasks"], page["pagination"]["total"]) == ([], 0)
    assert ann.client.data("/api/v1/system/overview")["holders"]["total"] == 0
    assert bob.client.data("/api/v1/system/overview")["holders"]["total"] == 1


def test_training_of_another_user_is_not_revealed_as_one(own: World):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    task_id = bob.start()
    assert ann.client.get(f"{GPU}/tasks/{task_id}").status_code == 404
    assert failure_of(bob.client.get(f"{GPU}/tasks/{task_id}"))["error"]["code"] == "task_is_training"


def test_event_names_no_task_of_others(own: World, source: FakeSource):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    task_id = runs_with_a_process(own, bob, source)
    source.xids.append(XidEvent(source.identities[0].uuid, 79))
    own.gpus.read_xids()
    theirs, his = (str(each.client.data(f"{GPU}/events")["events"]) for each in (ann, bob))
    assert task_id in his
    assert task_id not in theirs
    assert "held by another user" in theirs


def test_metrics_neither_name_nor_count_tasks_of_others(own: World, source: FakeSource):
    ann, root = own.signed_in("ann"), own.signed_in("root", "admin")
    task_id = runs_with_a_process(own, own.signed_in("bob"), source)
    theirs, every = (each.client.get("/metrics").text for each in (ann, root))
    assert f'task_id="{task_id}"' in every
    assert "diffusion_pipe_trainings" in every
    assert task_id not in theirs
    assert "diffusion_pipe_trainings" not in theirs
    assert "nvidia_smi_memory_used_bytes" in theirs


def test_etag_does_not_reveal_changes_of_others(own: World, monkeypatch: pytest.MonkeyPatch):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    register(bob, 1, task_id="his")
    seconds = itertools.count(1_800_000_000)
    monkeypatch.setattr("api.util.http.envelope.time.time", lambda: next(seconds))
    for path in ("/status", "/summary", "/1", "/0"):
        before, whole = (each.client.get(f"{GPU}{path}").headers["etag"] for each in (ann, bob))
        bob.client.patch(f"{GPU}/tasks/his", json={"progress": len(path)})
        assert ann.client.get(f"{GPU}{path}", headers={"If-None-Match": before}).status_code == 304
        if path in ("/status", "/1"):
            assert bob.client.get(f"{GPU}{path}").headers["etag"] != whole


def test_users_with_full_scope_get_the_ready_documents(team: World, own: World):
    for world, role in ((team, "trainer"), (own, "admin")):
        reader = world.signed_in("ann", role)
        assert reader.client.get(f"{GPU}/status").content == world.gpus.documents.get(f"{GPU}/status").body


# -- queue -------------------------------------------------------------------------------------------------------------


def test_queue_reason_names_no_task_of_others(own: World, source: FakeSource):
    ann, bob, root = own.signed_in("ann"), own.signed_in("bob"), own.signed_in("root", "admin")
    runs_with_a_process(own, bob, source, name="secret plan", gpu_id=0)
    bob.start(name="second plan", gpu_count=4)
    mine = ann.start(gpu_count=4)
    own.train()
    waiting = ann.get(mine)
    assert "GPU 0 is held by another user's task" in waiting["waiting_reason"]
    assert "plan" not in str(waiting["waiting_reason_code"])
    assert "secret plan" in root.get(mine)["waiting_reason"]
    for path in (f"{TRAINING}/list", f"{TRAINING}/{mine}/progress"):
        assert "plan" not in ann.client.get(path).text
    checked = ann.client.post(f"{TRAINING}/validate", json={**TOY, "gpu_count": 4}).json()["data"]
    assert "another user's task" in checked["gpus"]["waiting_reason"]


def test_refused_start_names_no_task_of_others(own: World, source: FakeSource):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    task_id = runs_with_a_process(own, bob, source, name="secret plan")
    refused = ann.client.post(f"{TRAINING}/start", json={**TOY, "gpu_id": 0, "queue": False})
    failure = failure_of(refused)
    assert failure["error"]["code"] == "gpu_busy"
    assert (failure["data"]["gpu_id"], failure["data"]["current_task"]) == (0, None)
    assert "secret plan" not in refused.text
    assert task_id not in refused.text


# -- streams -----------------------------------------------------------------------------------------------------------


def test_gpu_stream_shows_each_reader_their_own_tasks(own: World, source: FakeSource):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    task_id = runs_with_a_process(own, bob, source)

    async def result(reader: World) -> str:
        async with listen(own.client, GPU_STREAM, headers=reader.client._shown) as stream:
            received = [await stream.next()]
            source.set_memory(3, source.vitals[3].memory_used_mb + 1)
            own.sweep()
            received.append(await stream.next())
            return str(received)

    async def talk() -> list[str]:
        async with own.client.live():
            return [await result(ann), await result(bob)]

    theirs, his = own.client.run(talk())
    assert (task_id in theirs, task_id in his) == (False, True)


@pytest.mark.parametrize("path", [GPU_STREAM, EVENTS_STREAM])
def test_reader_gets_no_message_if_only_hidden_things_changed(own: World, source: FakeSource, path: str):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    register(bob, 1, task_id="his")

    async def talk() -> list[int]:
        async with own.client.live(), listen(own.client, path, headers=ann.client._shown) as stream:
            received = [await stream.next()]
            await bob.client.send("PATCH", f"{GPU}/tasks/his", json={"progress": 5})
            source.set_memory(3, 500)
            own.sweep()
            received.append(await stream.next())
            return [each.data["gpus"][3]["memory"]["used"] for each in received if each is not None]

    assert own.client.run(talk()) == [400, 500]


def test_event_stream_delivers_only_own_tasks_also_after_reconnecting(own: World):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")

    async def received(reader: World, last: str | None = None) -> tuple[str, str]:
        query = "topics=task" + (f"&last_event_id={last}" if last else "")
        async with listen(own.client, EVENTS_STREAM, query, reader.client._shown) as stream:
            found = await stream.until("status")
            return found.id or "", found.data["task_id"]

    async def talk() -> None:
        async with own.client.live():
            boot = own.runtime.live.broker.boot
            theirs = (await bob.client.send("POST", f"{TRAINING}/start", json=TOY)).json()["data"]["task_id"]
            mine = (await ann.client.send("POST", f"{TRAINING}/start", json=TOY)).json()["data"]["task_id"]
            own.publish_news()
            assert (await received(ann, f"{boot}-0"))[1] == mine
            assert (await received(bob, f"{boot}-0"))[1] == theirs

    own.client.run(talk())


def test_progress_of_a_queued_task_names_no_other_user_to_its_owner(own: World, source: FakeSource):
    ann, bob, root = own.signed_in("ann"), own.signed_in("bob"), own.signed_in("root", "admin")
    runs_with_a_process(own, bob, source, name="secret plan", gpu_id=0)
    mine = ann.start(gpu_id=0)
    own.train()

    async def result(reader: World, path: str) -> str:
        async with listen(own.client, path, headers=reader.client._shown) as stream:
            return str((await stream.until("progress")).data["waiting_reason"])

    async def talk() -> list[str]:
        path = f"{TRAINING}/{mine}/events/stream"
        async with own.client.live():
            first = await result(ann, path)
            own.publish_news()
            return [first, await result(ann, path), await result(root, path)]

    first, second, every = own.client.run(talk())
    assert first == second == "needs GPU 0: GPU 0 is held by another user's task"
    assert "secret plan" in every


# -- command lines -----------------------------------------------------------------------------------------------------


def test_command_lines_require_a_permission_in_a_team_too(team: World, source: FakeSource):
    source.processes[1] = (process(99, command="python --token"),)
    source.set_memory(1, 8000)
    task_id = runs_with_a_process(team, team.signed_in("bob"), source)
    few = team.signed_in("ann", permissions=ONLY_READS_GPUS)
    details = few.client.data(f"{GPU}/0")
    assert details["current_task"]["task_id"] == task_id
    assert details["processes"][0]["command"] is None
    assert details["processes"][0]["unavailable"]["command"] == "needs_processes_read"
    foreign = few.client.data(f"{GPU}/status")["gpus"][1]
    assert foreign["status_reason"] == "pid 99 (ada) holds 8,000 MB"
    assert "--token" not in few.client.get(f"{GPU}/events").text
    assert "--token" in team.signed_in("cleo").client.get(f"{GPU}/events").text


def test_pid_can_be_registered_only_with_that_permission(team: World):
    few, full = team.signed_in("ann", permissions=ONLY_READS_GPUS), team.signed_in("bob")
    failure = failure_of(register(few, 0, pid=os.getpid()))
    assert (failure["code"], failure["data"]) == (403, {"missing_permission": "processes:read"})
    assert register(full, 0, pid=os.getpid()).status_code == 201
    assert register(few, 1).status_code == 201


# -- hidden or missing -------------------------------------------------------------------------------------------------

OF_A_TASK = [each for each in OperationTable().all if "<task_id>" in each.pattern and each.method != "WEBSOCKET"]


def test_response_about_a_hidden_task_equals_that_about_a_missing_one(own: World):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    form = {"video": ("a.png", picture())}
    upload = ann.client.post("/api/v1/preprocess/upload", files=form).json()["data"]["task_id"]
    fill(own, "anns", "ann", **{"a.png": picture()})
    hidden = [ann.start(), upload, start(ann.client, dataset="anns"), register(ann, 1).json()["data"]["task_id"]]
    absent = "train_20260101_00000000"

    def words(operation: Operation, task_id: str) -> tuple[int, Any]:
        address = operation.pattern.replace("<task_id>", task_id).replace("<path:path>", "config.toml")
        body = None if operation.is_get else {}
        answer = bob.client.ask(operation.method, address, json=body)
        error = failure_of(answer)["error"]
        return answer.status_code, {**error, "request_id": "", "detail": error["detail"].replace(task_id, "")}

    for operation in OF_A_TASK:
        expected = words(operation, absent)
        assert [words(operation, task_id) for task_id in hidden] == [expected] * len(hidden), operation.name


# -- stale responses ---------------------------------------------------------------------------------------------------


def test_without_the_database_users_get_only_their_own_stale_responses(own: World, monkeypatch: pytest.MonkeyPatch):
    ann, bob = own.signed_in("ann"), own.signed_in("bob")
    mine = bob.start()
    assert bob.client.data(f"{TRAINING}/list")["pagination"]["total"] == 1
    assert ann.client.data(f"{TRAINING}/list")["pagination"]["total"] == 0

    def away(*args: object, **kwargs: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(own.runtime.services.training.lists, "get_page", away)
    answers = {name: each.client.get(f"{TRAINING}/list") for name, each in (("ann", ann), ("bob", bob))}
    assert {answer.headers["x-stale"] for answer in answers.values()} == {"database_unavailable"}
    assert mine in answers["bob"].text
    assert mine not in answers["ann"].text
