"""Pages of logs by HTTP, and the common properties of all responses about logs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from api.executors.fake import outcome
from tests.api.client import Client, failure_of
from tests.api.conftest import TRAINING, World
from tests.api.logs import CONTENT, LINES, run_with_log, write


@pytest.fixture
def task_id(world: World) -> str:
    return run_with_log(world)


def logs(world: World, task_id: str, **query: Any) -> Any:
    return world.client.data(f"{TRAINING}/{task_id}/logs", params=query)


def messages(page: Any) -> list[str]:
    return [line["message"] for line in page["logs"]]


def test_lines_have_number_offset_level_type_step_and_epoch(world: World, task_id: str):
    page = logs(world, task_id)
    assert messages(page) == list(LINES)
    assert [line["line_number"] for line in page["logs"]] == list(range(1, 9))
    assert [CONTENT[line["offset"] :].split(b"\n")[0].decode() for line in page["logs"]] == list(LINES)
    assert [line["level"] for line in page["logs"]] == ["info"] * 4 + ["warning"] + ["error"] * 3
    assert [line["type"] for line in page["logs"]] == ["system", "train", "eval", "eval", "train"] + ["system"] * 3
    assert [line["step"] for line in page["logs"]] == [None, 1, 1, 1, 2, None, None, None]
    assert page["logs"][1]["epoch"] == 1
    time = datetime.fromisoformat(page["logs"][0]["timestamp"])
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)
    assert page["logs"][0]["timestamp"][-5] == "."
    assert {name: page[name] for name in page if name != "logs"} == {
        "task_id": task_id,
        "total_lines": 8,
        "first_offset": 0,
        "next_offset": len(CONTENT),
        "end_offset": len(CONTENT),
        "has_more": False,
        "dropped_bytes": 0,
        "dropped_lines": 0,
        "log_lost_bytes": None,
    }


def test_log_before_the_start_is_empty(world: World):
    page = logs(world, world.start())
    assert (page["logs"], page["total_lines"], page["end_offset"], page["has_more"]) == ([], 0, 0, False)


@pytest.mark.parametrize("path", ["logs", "logs/search?keyword=a", "logs/download", "logs/stream"])
def test_unknown_task_has_no_log(client: Client, path: str):
    assert failure_of(client.get(f"{TRAINING}/unknown/{path}"))["error"]["code"] == "task_not_found"


def test_pages_continue_where_the_previous_one_ended(world: World, task_id: str):
    found, offset = [], 0
    while True:
        page = logs(world, task_id, offset=offset, limit_bytes=40)
        found += messages(page)
        offset = page["next_offset"]
        if not page["has_more"]:
            break
    assert found == list(LINES)


def test_tail_level_type_and_since_select_lines(world: World, task_id: str):
    assert messages(logs(world, task_id, tail=2)) == list(LINES[-2:])
    assert messages(logs(world, task_id, tail=0)) == []
    assert messages(logs(world, task_id, level="warning")) == list(LINES[4:])
    assert messages(logs(world, task_id, level="error", tail=1)) == [LINES[-1]]
    assert messages(logs(world, task_id, type="eval")) == list(LINES[2:4])
    assert messages(logs(world, task_id, since="1m")) == list(LINES)
    future = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert messages(logs(world, task_id, since=future)) == []
    assert messages(logs(world, task_id, since="1m", tail=2)) == list(LINES[-2:])
    assert messages(logs(world, task_id, since=future, tail=2)) == []


@pytest.mark.parametrize(
    ("word", "level"), [("WARN", "warning"), ("Warning", "warning"), ("ERROR", "error"), ("Info", "info")]
)
def test_levels_are_accepted_in_other_spellings(world: World, task_id: str, word: str, level: str):
    assert messages(logs(world, task_id, level=word)) == messages(logs(world, task_id, level=level))


def test_unterminated_line_is_complete_once_the_task_has_finished(world: World):
    task_id = world.run()
    write(world, task_id, b"whole\nrest")
    page = logs(world, task_id)
    assert [(line["message"], line["is_complete"]) for line in page["logs"]] == [("whole", True), ("rest", False)]
    assert (page["next_offset"], page["end_offset"], page["has_more"], page["total_lines"]) == (6, 10, False, 2)
    world.end(task_id)
    page = logs(world, task_id)
    assert (page["logs"][1]["is_complete"], page["next_offset"]) == (True, 10)


def test_dropped_part_is_reported(world: World):
    task_id = world.run()
    content = b"".join(b"line %d\n" % number for number in range(2000))
    write(world, task_id, content, max_bytes=8192, segment_bytes=2048)
    page = logs(world, task_id, offset=0)
    first = page["logs"][0]
    assert page["first_offset"] == page["dropped_bytes"] == first["offset"] > 0
    assert first["message"] == f"line {page['dropped_lines']}"
    assert first["line_number"] == page["dropped_lines"] + 1
    assert page["total_lines"] == 2000


def test_text_has_one_message_per_line(world: World, task_id: str):
    answer = world.client.get(f"{TRAINING}/{task_id}/logs", params={"format": "text", "tail": 2})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "".join(f"{line}\n" for line in LINES[-2:])
    assert answer.headers["x-next-offset"] == str(len(CONTENT))


def test_hostile_bytes_are_shown_safely_and_unchanged_in_the_download(world: World):
    content = (
        b"\x1b[31mred\x1b[0m\x00\xff\n10%\r20%\r\n\x1b]0;title\x07shown\n<script>\xe2\x80\xae\n" + b"x" * 50_000 + b"\n"
    )
    task_id = world.run()
    write(world, task_id, content)
    page = logs(world, task_id)
    assert messages(page)[:4] == ["red\u2400\ufffd", "20%", "shown", "<script>\u202e"]
    assert (len(messages(page)[4]), page["logs"][4]["truncated"]) == (16_384, True)
    assert world.client.get(f"{TRAINING}/{task_id}/logs/download").content == content


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("tail=1&offset=0", ""),
        ("tail=-1", "/tail"),
        ("tail=x", "/tail"),
        ("level=loud", "/level"),
        ("type=none", "/type"),
        ("since=yesterday", "/since"),
        ("format=xml", "/format"),
        ("limit_bytes=0", "/limit_bytes"),
        ("unknown=1", "/unknown"),
    ],
)
def test_invalid_query_is_rejected_with_its_pointer(client: Client, world: World, query: str, pointer: str):
    answer = client.get(f"{TRAINING}/{world.start()}/logs?{query}")
    assert answer.status_code == 422
    assert pointer in [mistake["pointer"] for mistake in failure_of(answer)["error"]["errors"]]


def test_servers_own_log_is_read_and_searched_alike(world: World):
    log = world.runtime.server_log
    log.write('{"time":"2026-01-01T00:00:00.000Z","level":"WARNING","message":"careful"}\nplain\n')
    log.flush()
    page = world.client.data("/api/v1/system/logs")
    assert [(line["level"], line["type"]) for line in page["logs"]] == [("warning", "system")] * 2
    assert "task_id" not in page
    [hit] = world.client.data("/api/v1/system/logs/search?keyword=careful")["results"]
    assert (hit["line_number"], hit["task_id"]) == (1, None)


def test_responses_match_their_schemas(world: World, task_id: str):
    document = world.client.get("/openapi.json").json()
    for path in ("/api/v1/training/{task_id}/logs", "/api/v1/training/{task_id}/logs/search", "/api/v1/logs/search"):
        query = {"regex": ".", "context": 2} if path.endswith("search") else {}
        answer = world.client.get(path.replace("{task_id}", task_id), params=query)
        declared = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**declared, "components": document["components"]}).validate(answer.json())


def test_lost_output_is_reported_during_the_run_and_over_all_attempts(world: World):
    task_id = world.run()
    assert world.get(task_id)["log_lost_bytes"] is None
    world.executor.lose_output(world.uid(task_id), 70)
    assert world.get(task_id)["log_lost_bytes"] == logs(world, task_id)["log_lost_bytes"] == 70
    world.end(task_id, outcome(log_lost_bytes=77, phrases=["TRAINING COMPLETE!"]))
    assert world.get(task_id)["log_lost_bytes"] == logs(world, task_id)["log_lost_bytes"] == 77
