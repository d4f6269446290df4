"""Listing, changing and deleting trainings, and their events."""

from typing import Any

import pytest

from api.domain.tasks.training import StopRung
from api.executors.fake import outcome
from tests.api.client import Client, failure_of
from tests.api.conftest import TRAINING, World

LIST = f"{TRAINING}/list"
TASKS = "/api/v1/gpu/tasks"


def found(client: Client, **query: Any) -> list[str]:
    return [task["task_id"] for task in client.data(LIST, params=query)["tasks"]]


# -- list ----------------------------------------------------------------------------------------------------------


def test_list_without_trainings_is_empty(client: Client):
    page = client.data(LIST)
    assert page["tasks"] == []
    assert page["pagination"] == {"total": 0, "limit": 50, "offset": 0, "has_more": False, "next_cursor": None}


def test_newest_training_comes_first(world: World):
    made = [world.start() for _ in range(3)]
    assert found(world.client) == made[::-1]


def test_row_of_a_list_matches_the_details(world: World):
    task_id = world.run(name="n", gpu_id=1)
    world.prints(task_id, "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n")
    world.note_progress()
    (row,) = world.client.data(LIST)["tasks"]
    task = world.get(task_id)
    assert row["progress"]["current_step"] == 1
    assert {name: task[name] for name in row if name != "progress"} == {
        name: row[name] for name in row if name != "progress"
    }


def test_trainings_are_filtered_by_status(world: World):
    completed, failed = world.finish(), world.finish(outcome(exit_code=1))
    running = world.run()
    waiting = world.start(gpu_count=4)
    for status, expected in {
        "queued": [waiting],
        "running": [running],
        "completed,failed": [failed, completed],
        "starting": [],
        "running, queued": [waiting, running],
        "running,": [running],
    }.items():
        assert found(world.client, status=status) == expected


@pytest.mark.parametrize("status", ["done", "RUNNING", "running,done", "x" * 101, "running;queued"])
def test_unknown_status_is_rejected(client: Client, status: str):
    answer = client.get(LIST, params={"status": status})
    assert answer.status_code == 422
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["pointer"] == "/status"


def test_trainings_are_filtered_by_gpu(world: World):
    uuid = world.client.data("/api/v1/gpu/2")["uuid"]
    one, both = world.finish(gpu_id=1), world.run(gpu_ids=[1, 2])
    assert found(world.client, gpu_id=1) == [both, one]
    assert found(world.client, gpu_id=2) == found(world.client, gpu_id=uuid) == [both]
    assert found(world.client, gpu_id=3) == found(world.client, gpu_id="GPU-nobody") == []


def test_trainings_are_filtered_by_model_type(world: World):
    task_id = world.start()
    assert found(world.client, model_type="toy") == [task_id]
    assert found(world.client, model_type="flux") == []


@pytest.mark.parametrize(
    ("search", "expected"),
    [("cat", [1, 0]), ("CAT", [1, 0]), ("100%", [2]), ("%", [2]), ("a_b", [2]), ("\\", []), ("train_", [2, 1, 0])],
)
def test_trainings_are_searched_by_a_part_of_their_names(world: World, search: str, expected: list[int]):
    made = [world.start(name="Cat one"), world.start(description="of a cat"), world.start(name="100% a_b")]
    assert found(world.client, search=search) == [made[n] for n in expected]


def test_search_text_is_not_a_pattern(world: World):
    world.start(name="x")
    assert found(world.client, search="' OR 1=1 --") == []
    assert found(world.client, search="x'; DROP TABLE tasks; --") == []
    assert len(found(world.client)) == 1


def test_larger_limit_is_coerced(client: Client):
    assert client.data(f"{LIST}?limit=100000")["pagination"]["limit"] == 500


def test_page_by_offset_has_its_offset(world: World):
    made = [world.start() for _ in range(5)]
    page = world.client.data(LIST, params={"limit": 2, "offset": 2})
    assert [task["task_id"] for task in page["tasks"]] == [made[2], made[1]]
    pagination = page["pagination"]
    assert (pagination["total"], pagination["offset"], pagination["has_more"]) == (5, 2, True)


def test_cursor_is_stable_while_trainings_are_added_and_deleted(world: World):
    made = [world.start() for _ in range(7)]
    page = world.client.data(LIST, params={"limit": 2})
    seen = [task["task_id"] for task in page["tasks"]]
    while page["pagination"]["next_cursor"]:
        world.start()
        world.client.post(f"{TRAINING}/stop/{seen[-1]}")
        world.client.delete(f"{TRAINING}/{seen[-1]}")
        page = world.client.data(LIST, params={"limit": 2, "cursor": page["pagination"]["next_cursor"]})
        seen += [task["task_id"] for task in page["tasks"]]
    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=x", "limit=1.5", "offset=-1", f"offset={10**30}", "cursor=x", "cursor=-1",
        f"cursor={10**18}", "cursor=", "gpu_id=a%20b", "model_type=a/b", "search=%00", "bogus=1", f"search={'x' * 201}",
        "order=oldest",
    ],
)  # fmt: skip
def test_invalid_query_is_rejected(shared_client: Client, query: str):
    answer = shared_client.get(f"{LIST}?{query}")
    assert answer.status_code == 422
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["pointer"] == "/" + query.partition("=")[0]


# -- the queue -----------------------------------------------------------------------------------------------------


def queue_of(world: World) -> list[str]:
    """Five trainings queued behind a running one, in start order."""
    world.run(gpu_count=4)
    low, second, third = (world.start(gpu_count=4, priority=priority) for priority in (-1, 0, 0))
    first, fourth = world.start(gpu_count=4, priority=5), world.start(gpu_count=4)
    world.train()
    return [first, second, third, fourth, low]


def test_queue_is_listed_in_start_order(world: World):
    waiting = queue_of(world)
    assert found(world.client, order="queue") == waiting
    assert found(world.client, order="queue", status="queued") == waiting
    assert found(world.client, order="queue", status="running") == []
    rows = world.client.data(LIST, params={"order": "queue"})["tasks"]
    assert [row["queue_position"] for row in rows] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("by", ["offset", "cursor"])
def test_queue_is_returned_in_pages(world: World, by: str):
    waiting, seen, where = queue_of(world), [], {}
    while True:
        page = world.client.data(LIST, params={"order": "queue", "limit": 2, **where})
        seen += [task["task_id"] for task in page["tasks"]]
        assert page["pagination"]["total"] == 5
        if not page["pagination"]["has_more"]:
            break
        where = {"cursor": page["pagination"]["next_cursor"]} if by == "cursor" else {"offset": len(seen)}
    assert seen == waiting


def test_cursor_continues_after_a_task_that_left_the_queue(world: World):
    waiting = queue_of(world)
    page = world.client.data(LIST, params={"order": "queue", "limit": 2})
    for task_id in waiting[:2]:
        world.client.post(f"{TRAINING}/stop/{task_id}")
    cursor = page["pagination"]["next_cursor"]
    assert found(world.client, order="queue", cursor=cursor) == waiting[2:]
    world.client.delete(f"{TRAINING}/{waiting[1]}")
    # A deleted training has no position, so the list starts again and omits nothing.
    assert found(world.client, order="queue", cursor=cursor) == waiting[2:]


def test_trainings_are_filtered_by_tag(world: World):
    cats, both = world.start(tags=["cats"]), world.start(tags=["cats", "new", "cats"])
    world.start(tags=["cats at home"])
    assert found(world.client, tag="cats") == [both, cats]
    assert found(world.client, search="at HOME") != []
    row = world.client.data(LIST, params={"tag": "new"})["tasks"][0]
    assert row["tags"] == ["cats", "new"]


def test_end_of_the_queue_is_unknown_without_durations(world: World):
    assert world.client.data(LIST)["queue_empty_at"] is None
    queue_of(world)
    assert world.client.data(LIST)["queue_empty_at"] is None


# -- position in the queue -----------------------------------------------------------------------------------------


def move(world: World, task_id: str, position: Any, status: int = 200) -> Any:
    answer = world.client.patch(f"{TRAINING}/{task_id}", json={"queue_position": position})
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


@pytest.mark.parametrize(
    ("moved", "position", "expected", "at"),
    [
        (3, "first", [0, 3, 1, 2, 4], 2),
        (1, "last", [0, 2, 3, 1, 4], 4),
        (1, 3, [0, 2, 1, 3, 4], 3),
        (3, 3, [0, 1, 3, 2, 4], 3),
        (3, 1, [0, 3, 1, 2, 4], 2),
        (1, 99, [0, 2, 3, 1, 4], 4),
        (4, "first", [0, 1, 2, 3, 4], 5),
    ],
)
def test_training_moves_within_its_priority(world: World, moved: int, position: Any, expected: list[int], at: int):
    waiting = queue_of(world)
    assert move(world, waiting[moved], position)["queue_position"] == at
    assert found(world.client, order="queue") == [waiting[index] for index in expected]


@pytest.mark.parametrize(("position", "expected"), [(1, [4, 0]), (2, [0, 4]), (99, [0, 4])])
def test_training_moves_to_a_position_in_its_new_priority(world: World, position: int, expected: list[int]):
    waiting = queue_of(world)
    change = {"priority": 5, "queue_position": position}
    assert world.client.patch(f"{TRAINING}/{waiting[4]}", json=change).status_code == 200
    assert found(world.client, order="queue")[:2] == [waiting[index] for index in expected]


def test_training_moved_to_the_front_starts_first(world: World):
    holder = world.run(gpu_count=4)
    first, second = world.start(gpu_count=4), world.start(gpu_count=4)
    move(world, second, "first")
    event = events(world, second)["events"][-1]
    assert (event["type"], event["actor"]) == ("change", "api")
    assert event["message_code"] == {"code": "moved_in_line", "params": {"position": 1, "total": 2}}
    world.end(holder)
    assert (world.get(first)["status"], world.get(second)["status"]) == ("queued", "starting")


def test_running_training_has_no_position(world: World):
    move(world, world.run(), "first", 409)


def test_resumed_training_joins_the_end_of_the_queue(world: World):
    world.run(gpu_count=4)
    moved, other = world.start(gpu_count=4), world.start(gpu_count=4)
    move(world, other, "first")
    world.client.post(f"{TRAINING}/stop/{other}")
    world.make_checkpoints(other, 1)
    assert world.client.post(f"{TRAINING}/resume/{other}", json={}).status_code == 202
    assert found(world.client, order="queue") == [moved, other]


# -- events --------------------------------------------------------------------------------------------------------


def events(world: World, task_id: str, **query: Any) -> dict[str, Any]:
    data: dict[str, Any] = world.client.data(f"{TRAINING}/{task_id}/events", params=query)
    return data


def test_events_are_in_order_with_actor_and_reason(world: World):
    task_id = world.run()
    world.client.patch(f"{TRAINING}/{task_id}", json={"priority": 5})
    world.client.post(f"{TRAINING}/stop/{task_id}", json={"force": True})
    world.end(task_id, outcome(exit_code=None, signal=15, stop_rung=StopRung.TERMINATE))
    listed = events(world, task_id)["events"]
    assert [(event["type"], event["previous"], event["current"], event["actor"]) for event in listed] == [
        ("status", None, "queued", "api"),
        ("status", "queued", "starting", "scheduler"),
        ("status", "starting", "running", "supervisor"),
        ("stage", None, "loading", "trainer"),
        ("change", None, None, "api"),
        ("status", "running", "stopping", "api"),
        ("status", "stopping", "stopped", "supervisor"),
    ]
    assert all(event["message"] and event["task_id"] == task_id for event in listed)
    assert listed[1]["attempt"] == f"{task_id}.1"
    assert [event["id"] for event in listed] == sorted(event["id"] for event in listed)


def test_events_of_another_training_are_not_shown(world: World):
    one, other = world.start(), world.start()
    assert {event["task_id"] for event in events(world, one)["events"]} == {one}
    assert {event["task_id"] for event in events(world, other)["events"]} == {other}


# -- patch ---------------------------------------------------------------------------------------------------------


def test_name_description_and_priority_can_be_changed_and_cleared(world: World):
    task_id = world.start(name="a", description="b")
    path = f"{TRAINING}/{task_id}"
    task = world.client.patch(path, json={"name": "c", "priority": 9}).json()["data"]
    assert (task["name"], task["description"], task["priority"]) == ("c", "b", 9)
    task = world.client.patch(path, json={"name": None, "description": None}).json()["data"]
    assert (task["name"], task["description"], task["priority"]) == (None, None, 9)


def test_tags_and_notes_can_be_changed_and_cleared(world: World):
    task_id = world.start(tags=["a"], notes="one\ntwo")
    path = f"{TRAINING}/{task_id}"
    task = world.client.patch(path, json={"tags": ["b", "c", "b"]}).json()["data"]
    assert (task["tags"], task["notes"], task["request"]["tags"]) == (["b", "c"], "one\ntwo", ["a"])
    task = world.client.patch(path, json={"tags": None, "notes": None}).json()["data"]
    assert (task["tags"], task["notes"]) == ([], None)


def test_restart_copies_the_present_tags_and_notes(world: World):
    task_id = world.finish(tags=["a"], notes="old")
    world.client.patch(f"{TRAINING}/{task_id}", json={"tags": ["b"], "notes": "new"})
    again = world.client.post(f"{TRAINING}/restart/{task_id}").json()["data"]
    assert (again["tags"], again["notes"]) == (["b"], "new")


def test_resume_keeps_or_replaces_tags_and_notes(world: World):
    task_id = world.finish(outcome(exit_code=1), tags=["a"])
    world.make_checkpoints(task_id, 7)
    world.client.patch(f"{TRAINING}/{task_id}", json={"tags": ["b"], "notes": "n"})
    task = world.client.post(f"{TRAINING}/resume/{task_id}", json={"notes": "again"}).json()["data"]
    assert (task["tags"], task["notes"]) == (["b"], "again")


def test_higher_priority_starts_first(world: World):
    holder = world.run(gpu_count=4)
    first, second = world.start(gpu_count=4), world.start(gpu_count=4)
    world.client.patch(f"{TRAINING}/{second}", json={"priority": 1})
    world.end(holder)
    assert (world.get(first)["status"], world.get(second)["status"]) == ("queued", "starting")


@pytest.mark.parametrize(
    "body",
    [
        {}, {"priority": None}, {"priority": 1.5}, {"priority": "1"}, {"priority": True}, {"priority": 1001},
        {"name": "a\nb"}, {"name": "x" * 201}, {"name": 5}, {"description": "a\0b"}, {"description": "x" * 4001},
        {"status": "completed"}, {"task_id": "x"}, {"tags": ["a\nb"]}, {"tags": [""]}, {"tags": "a"},
        {"tags": ["x"] * 51}, {"notes": "x" * 10_001}, {"queue_position": 0}, {"queue_position": "top"},
        {"queue_position": None}, {"gpu_uuids": []},
    ],
)  # fmt: skip
def test_invalid_change_is_rejected(world: World, body: dict[str, Any]):
    task_id = world.start(name="a")
    before = world.get(task_id)
    answer = world.client.patch(f"{TRAINING}/{task_id}", json=body)
    assert answer.status_code == 422
    failure_of(answer)
    assert world.get(task_id) == before


# -- delete --------------------------------------------------------------------------------------------------------


def test_finished_training_is_deleted_and_its_files_stay(world: World):
    task_id = world.finish()
    deleted = world.client.delete(f"{TRAINING}/{task_id}").json()["data"]
    assert (deleted["task_id"], deleted["files_deleted"]) == (task_id, False)
    assert deleted["directory"] == str(world.storage / "tasks" / task_id)
    assert (world.storage / "tasks" / task_id / "output").is_dir()
    for part in ("", "/progress", "/metrics", "/checkpoints", "/artifacts", "/artifacts/x", "/events"):
        assert world.client.get(f"{TRAINING}/{task_id}{part}").status_code == 404
    assert found(world.client) == found(world.client, gpu_id=0) == []


def test_files_are_deleted_if_requested(world: World):
    task_id, other = world.finish(), world.finish()
    deleted = world.client.delete(f"{TRAINING}/{task_id}?files=true").json()["data"]
    assert (deleted["files_deleted"], deleted["directory"]) == (True, None)
    assert [path.name for path in (world.storage / "tasks").iterdir()] == [other]


def test_link_in_the_files_is_removed_and_not_followed(world: World, tmp_path: Any):
    task_id = world.finish()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (world.output(task_id) / "link").symlink_to(precious)
    world.client.delete(f"{TRAINING}/{task_id}?files=true")
    assert (precious / "file").read_text() == "x"


def test_queued_or_running_training_is_not_deleted(world: World):
    running = world.run()
    waiting = world.start(gpu_count=4)
    for task_id in (running, waiting):
        answer = world.client.delete(f"{TRAINING}/{task_id}?files=true")
        assert answer.status_code == 409
        assert failure_of(answer)["error"]["code"] == "task_not_finished"
        assert world.get(task_id)


def test_training_whose_gpu_is_draining_is_not_deleted(world: World):
    task_id = world.run()
    world.executor.ends(world.uid(task_id), outcome(exit_code=1))
    world.train()
    assert world.client.delete(f"{TRAINING}/{task_id}").status_code == 409
    world.free_gpus()
    assert world.client.delete(f"{TRAINING}/{task_id}").status_code == 200


@pytest.mark.parametrize("query", ["files=maybe", "files=", "file=true"])
def test_invalid_query_of_delete_deletes_nothing(world: World, query: str):
    task_id = world.finish()
    assert world.client.delete(f"{TRAINING}/{task_id}?{query}").status_code == 422
    assert world.get(task_id)


# -- together with other routes ------------------------------------------------------------------------------------


def test_overview_counts_trainings_by_status(world: World):
    world.finish()
    world.finish(outcome(exit_code=1))
    world.run(gpu_count=2)
    world.start(gpu_count=4)
    overview = world.client.data("/api/v1/system/overview")
    counts = {"queued": 1, "starting": 0, "running": 1, "stopping": 0, "completed": 1, "failed": 1, "stopped": 0}
    assert overview["trainings"] == counts
    assert overview["tasks"] == {"total": 4, **counts}
    assert (overview["holders"]["total"], overview["holders"]["training"]) == (1, 1)
    assert overview["gpus"]["busy_gpus"] == 2
    assert 'diffusion_pipe_trainings{status="failed"} 1.0' in world.client.get("/metrics").text


def test_registration_routes_do_not_change_trainings(world: World):
    task_id = world.run(gpu_id=0)
    for method, body in (("DELETE", None), ("PATCH", {"progress": 5}), ("GET", None)):
        answer = world.client.ask(method, f"{TASKS}/{task_id}", json=body)
        assert answer.status_code == 409
        assert failure_of(answer)["error"]["code"] == "task_is_training"
    assert world.get(task_id)["status"] == "running"
    assert world.client.data("/api/v1/gpu/0")["current_task"]["task_id"] == task_id


def test_registered_task_is_not_a_training(world: World):
    world.client.post(TASKS, json={"gpu_ids": [0], "task_type": "training", "task_id": "mine"})
    for path in (f"{TRAINING}/mine", f"{TRAINING}/mine/events"):
        assert world.client.get(path).status_code == 404
    assert world.client.post(f"{TRAINING}/stop/mine").status_code == 404
    assert world.client.delete(f"{TRAINING}/mine").status_code == 404


def test_program_cannot_register_the_gpu_or_id_of_a_training(world: World):
    task_id = world.run(gpu_id=0)
    answer = world.client.post(TASKS, json={"gpu_ids": [0], "task_type": "training"})
    assert answer.status_code == 409
    assert failure_of(answer)["data"]["held_by"][world.client.data("/api/v1/gpu/0")["uuid"]] == task_id
    answer = world.client.post(TASKS, json={"gpu_ids": [1], "task_type": "training", "task_id": task_id})
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "task_exists")


def test_training_waits_for_the_gpu_of_a_program(world: World):
    world.client.post(TASKS, json={"gpu_ids": [0], "task_type": "training", "task_id": "mine"})
    task_id = world.start(gpu_id=0)
    world.train()
    assert "GPU 0 is held by mine" in world.get(task_id)["waiting_reason"]
    world.client.delete(f"{TASKS}/mine")
    world.free_gpus()
    assert world.get(world.run(task_id))["gpu_ids"] == [0]


@pytest.mark.parametrize(
    ("method", "part"),
    [
        *(("GET", part) for part in ("", "/progress", "/metrics", "/checkpoints", "/artifacts", "/events")),
        *(("PATCH", ""), ("DELETE", ""), ("POST", "/stop")),
    ],
)
@pytest.mark.parametrize("task_id", ["train_20260101_00000000", "x", "a b", "%00", "é", "x" * 300, "-rf", "'"])
def test_unknown_training_is_not_found(shared_client: Client, method: str, part: str, task_id: str):
    answer = shared_client.ask(
        method, f"{TRAINING}/{task_id}{part}", json={"priority": 1} if method == "PATCH" else None
    )
    assert answer.status_code == 404
    assert failure_of(answer)["error"]["code"] in ("task_not_found", "not_found")
