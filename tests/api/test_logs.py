"""Logs over HTTP: pages, searches, downloads, streams."""

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from api.executors.attempt.log import LogWriter
from api.executors.fake import outcome
from api.executors.log_files import LogFiles
from tests.api.client import Client, Connection, failure_of, scope
from tests.api.conftest import COMPLETED, TRAINING, World

LINES = (
    "toy trainer: ready",
    "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 1.0",
    "Running eval",
    "50% of it",
    "steps: 2 loss: nan iter time (s): 1.0 samples/sec: 1.0",
    "Traceback (most recent call last):",
    '  File "train.py", line 1, in <module>',
    "ValueError: no",
)
CONTENT = "".join(f"{line}\n" for line in LINES).encode()


def write(world: World, task_id: str, content: bytes, **how: Any) -> LogWriter:
    """Output as a supervisor would have put it into the log."""
    settings = {"max_bytes": 2**30, "segment_bytes": 2**24, **how}
    directory = world.storage / "tasks" / task_id / "log"
    world.executor.keeps(LogFiles(directory))
    writer = LogWriter(str(directory), **settings)
    writer.open()
    for line in content.splitlines(keepends=True):
        writer.write(line)
    return writer


@pytest.fixture
def task_id(world: World) -> str:
    task_id = world.run()
    write(world, task_id, CONTENT)
    return task_id


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


def test_a_log_that_has_not_begun_is_empty(world: World):
    page = logs(world, world.start())
    assert (page["logs"], page["total_lines"], page["end_offset"], page["has_more"]) == ([], 0, 0, False)


@pytest.mark.parametrize("path", ["logs", "logs/search?keyword=a", "logs/download", "logs/stream"])
def test_an_unknown_task_has_no_log(client: Client, path: str):
    assert failure_of(client.get(f"{TRAINING}/unknown/{path}"))["error"]["code"] == "task_not_found"


def test_pages_go_on_where_the_one_before_ended(world: World, task_id: str):
    found, offset = [], 0
    while True:
        page = logs(world, task_id, offset=offset, limit_bytes=40)
        found += messages(page)
        offset = page["next_offset"]
        if not page["has_more"]:
            break
    assert found == list(LINES)


def test_tail_level_type_and_since_choose_lines(world: World, task_id: str):
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
def test_levels_are_known_by_other_programs_words(world: World, task_id: str, word: str, level: str):
    assert messages(logs(world, task_id, level=word)) == messages(logs(world, task_id, level=level))


def test_a_line_without_its_end_is_complete_once_the_task_has_finished(world: World):
    task_id = world.run()
    write(world, task_id, b"whole\nrest")
    page = logs(world, task_id)
    assert [(line["message"], line["is_complete"]) for line in page["logs"]] == [("whole", True), ("rest", False)]
    assert (page["next_offset"], page["end_offset"], page["has_more"], page["total_lines"]) == (6, 10, False, 2)
    world.end(task_id)
    page = logs(world, task_id)
    assert (page["logs"][1]["is_complete"], page["next_offset"]) == (True, 10)


def test_what_is_gone_is_told(world: World):
    task_id = world.run()
    content = b"".join(b"line %d\n" % number for number in range(2000))
    write(world, task_id, content, max_bytes=8192, segment_bytes=2048)
    page = logs(world, task_id, offset=0)
    first = page["logs"][0]
    assert page["first_offset"] == page["dropped_bytes"] == first["offset"] > 0
    assert first["message"] == f"line {page['dropped_lines']}"
    assert first["line_number"] == page["dropped_lines"] + 1
    assert page["total_lines"] == 2000


def test_text_is_one_message_a_line(world: World, task_id: str):
    answer = world.client.get(f"{TRAINING}/{task_id}/logs", params={"format": "text", "tail": 2})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "".join(f"{line}\n" for line in LINES[-2:])
    assert answer.headers["x-next-offset"] == str(len(CONTENT))


def test_hostile_bytes_are_shown_safely_and_kept_in_the_download(world: World):
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
def test_a_wrong_question_is_refused_with_its_place(client: Client, world: World, query: str, pointer: str):
    answer = client.get(f"{TRAINING}/{world.start()}/logs?{query}")
    assert answer.status_code == 422
    assert pointer in [mistake["pointer"] for mistake in failure_of(answer)["error"]["errors"]]


# -- searching ---------------------------------------------------------------------------------------------------------


def search(world: World, path: str, **query: Any) -> Any:
    return world.client.data(path, params=query)


def test_a_word_is_found_with_its_place_and_the_lines_around_it(world: World, task_id: str):
    found = search(world, f"{TRAINING}/{task_id}/logs/search", keyword="Traceback", context=1)
    [hit] = found["results"]
    assert (hit["line_number"], hit["message"], hit["level"]) == (6, LINES[5], "error")
    assert (hit["matched_text"], hit["match_start"], hit["match_end"]) == ("Traceback", 0, 9)
    assert [line["message"] for line in hit["before"] + hit["after"]] == [LINES[4], LINES[6]]
    assert hit["task_id"] == task_id
    assert (found["complete"], found["stopped_because"], found["next_offset"]) == (True, None, None)
    assert found["searched_bytes"] == len(CONTENT)
    assert (found["task_id"], found["query"], found["total_matches"]) == (task_id, "Traceback", 1)


def test_matches_are_not_counted_when_the_search_stops_before_the_end(world: World, task_id: str):
    found = search(world, f"{TRAINING}/{task_id}/logs/search", regex="[a-z]", limit=1)
    assert (len(found["results"]), found["query"], found["total_matches"]) == (1, "[a-z]", None)


def test_a_search_goes_on_where_it_stopped(world: World, task_id: str):
    path, found, offset = f"{TRAINING}/{task_id}/logs/search", [], 0
    while offset is not None:
        part = search(world, path, regex="[a-z]", limit=1, offset=offset)
        found += [hit["message"] for hit in part["results"]]
        assert part["complete"] == (part["stopped_because"] is None) == (part["next_offset"] is None)
        offset = part["next_offset"]
    assert found == list(LINES)


def test_filters_restrict_what_is_found(world: World, task_id: str):
    path = f"{TRAINING}/{task_id}/logs/search"
    assert [hit["line_number"] for hit in search(world, path, regex=".", level="error")["results"]] == [6, 7, 8]
    assert [hit["line_number"] for hit in search(world, path, regex=".", type="train")["results"]] == [2, 5]
    assert [hit["line_number"] for hit in search(world, path, keyword="TOY", ignore_case="true")["results"]] == [1]
    assert search(world, path, keyword="steps", start_time="2040-01-01T00:00:00Z")["results"] == []
    assert search(world, path, keyword="steps", end_time="2020-01-01T00:00:00Z")["results"] == []
    assert len(search(world, path, keyword="steps", start_time="1h")["results"]) == 2


def test_all_tasks_are_searched_newest_first_and_page_by_page(world: World):
    ids = [world.start() for _ in range(4)]
    for number, task_id in enumerate(ids):
        write(world, task_id, b"needle\n" * number)
    found, cursor = [], {}
    while True:
        part = search(world, "/api/v1/logs/search", keyword="needle", limit=2, **cursor)
        found += [(hit["task_id"], hit["line_number"]) for hit in part["results"]]
        if part["next_cursor"] is None:
            break
        cursor = {"cursor": part["next_cursor"]}
    assert found == [(ids[3], 1), (ids[3], 2), (ids[3], 3), (ids[2], 1), (ids[2], 2), (ids[1], 1)]


@pytest.mark.parametrize("pattern", ["((", "a{2000}", r"(?=x)", r"\A", "*"])
def test_what_re2_refuses_is_refused_with_its_reason(world: World, task_id: str, pattern: str):
    answer = world.client.get(f"{TRAINING}/{task_id}/logs/search", params={"regex": pattern})
    assert answer.status_code == 400
    assert failure_of(answer)["error"]["code"] == "invalid_pattern"
    assert len(failure_of(answer)["message"]) > 30


@pytest.mark.parametrize(
    "query",
    [{}, {"keyword": "a", "regex": "a"}, {"keyword": ""}, {"regex": "a" * 1001}, {"keyword": "a", "context": 21}],
)
def test_a_search_without_a_sound_pattern_is_refused(world: World, task_id: str, query: dict[str, Any]):
    for path in (f"{TRAINING}/{task_id}/logs/search", "/api/v1/logs/search", "/api/v1/system/logs/search"):
        assert world.client.get(path, params=query).status_code == 422


def test_one_search_too_many_is_told_to_come_again(world: World, task_id: str):
    searches = world.runtime.services.logs._searches
    while searches.acquire(blocking=False):
        continue
    answer = world.client.get(f"{TRAINING}/{task_id}/logs/search", params={"keyword": "a"})
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (503, "search_busy")
    assert answer.headers["retry-after"]


# -- downloading -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cut(world: World) -> tuple[str, bytes]:
    """A task whose log lies in several segments, and its content."""
    task_id, content = world.run(), b"".join(b"line %d\n" % number for number in range(3000))
    write(world, task_id, content, segment_bytes=1000)
    assert len(os.listdir(world.storage / "tasks" / task_id / "log")) > 20
    return f"{TRAINING}/{task_id}/logs/download", content


def test_the_whole_log_is_one_file(world: World, cut: tuple[str, bytes]):
    answer = world.client.get(cut[0])
    assert (answer.status_code, answer.content) == (200, cut[1])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="train_')
    assert answer.headers["accept-ranges"] == "bytes"


def test_inline_is_text_to_be_shown(world: World, cut: tuple[str, bytes]):
    answer = world.client.get(cut[0] + "?inline=true")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("inline")


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=500-1500", slice(500, 1501)),
        ("bytes=20000-", slice(20000, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=0-999999999", slice(0, None)),
    ],
)
def test_a_part_can_be_asked_for(world: World, cut: tuple[str, bytes], wanted: str, part: slice):
    answer = world.client.get(cut[0], headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, cut[1][part])
    first = part.indices(len(cut[1]))[0]
    last = first + len(answer.content) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(cut[1])}"


def test_a_part_that_is_not_there_is_refused(world: World, cut: tuple[str, bytes]):
    answer = world.client.get(cut[0], headers={"Range": "bytes=99999999-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(cut[1])}")
    assert world.client.get(cut[0], headers={"Range": "lines=1-2"}).status_code == 400


def test_a_part_of_another_version_is_the_whole(world: World, cut: tuple[str, bytes]):
    tag = world.client.get(cut[0]).headers["etag"]
    assert world.client.get(cut[0], headers={"Range": "bytes=0-1", "If-Range": tag}).status_code == 206
    assert world.client.get(cut[0], headers={"Range": "bytes=0-1", "If-Range": '"other"'}).status_code == 200


def test_an_empty_log_is_an_empty_file(world: World):
    answer = world.client.get(f"{TRAINING}/{world.start()}/logs/download")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


def test_head_of_a_download_has_no_body(world: World, cut: tuple[str, bytes]):
    answer = world.client.ask("HEAD", cut[0])
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", str(len(cut[1])))


# -- following ---------------------------------------------------------------------------------------------------------


async def next_event(connection: Connection) -> dict[str, Any]:
    while True:
        body = (await connection.hear()).get("body", b"").decode()
        if "data: " in body:
            fields = dict(line.split(": ", 1) for line in body.strip().split("\n"))
            return {**fields, "data": json.loads(fields["data"])}


def test_a_stream_sends_the_log_as_it_grows_and_how_the_task_ended(world: World, task_id: str):
    client = world.client

    async def talk() -> list[dict[str, Any]]:
        path = f"{TRAINING}/{task_id}/logs/stream"
        async with client.live(), client.connection(scope("http", path, query_string=b"tail=1")) as connection:
            start = await connection.hear()
            assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
            seen = [await next_event(connection)]
            write(world, task_id, b"more\n")
            seen.append(await next_event(connection))
            world.executor.ends(uid, world.bear_out(task_id, COMPLETED))
            world.train()
            return [*seen, await next_event(connection)]

    uid = world.uid(task_id)
    first, second, end = client.run(talk())
    assert [line["message"] for line in first["data"]["data"]["logs"]] == [LINES[-1]]
    assert [line["message"] for line in second["data"]["data"]["logs"]] == ["more"]
    assert (first["id"], second["id"], end["id"]) == (str(len(CONTENT)), *[str(len(CONTENT) + 5)] * 2)
    assert end["event"] == "end"
    assert end["data"]["data"] == {
        "task_id": task_id,
        "status": "completed",
        "failure": None,
        "exit_code": 0,
        "next_offset": len(CONTENT) + 5,
    }


@pytest.mark.parametrize("query", [b"", b"offset=0"])
def test_the_last_id_goes_before_the_query(world: World, query: bytes):
    task_id = world.run()
    write(world, task_id, CONTENT)
    world.end(task_id)
    seen_to = len(CONTENT) - len(LINES[-1]) - 1
    headers = [(b"host", b"127.0.0.1"), (b"last-event-id", b"%d" % seen_to)]

    async def talk() -> list[dict[str, Any]]:
        path = f"{TRAINING}/{task_id}/logs/stream"
        async with world.client.connection(scope("http", path, headers, query_string=query)) as connection:
            return [await next_event(connection) for _ in range(2)]

    line, end = world.client.run(talk())
    assert [each["message"] for each in line["data"]["data"]["logs"]] == [LINES[-1]]
    assert end["event"] == "end"


@pytest.mark.parametrize(
    ("query", "pointers"),
    [("offset=x&level=loud&foo=1", {"/offset", "/level", "/foo"}), ("tail=1&offset=1", {""}), ("type=a", {"/type"})],
)
def test_a_stream_that_is_asked_for_wrongly_is_refused(world: World, task_id: str, query: str, pointers: set[str]):
    answer = world.client.get(f"{TRAINING}/{task_id}/logs/stream?{query}")
    assert answer.status_code == 422
    assert {mistake["pointer"] for mistake in failure_of(answer)["error"]["errors"]} == pointers


def test_head_of_a_stream_ends(world: World, task_id: str):
    async def talk() -> list[dict[str, Any]]:
        asked = scope("http", f"{TRAINING}/{task_id}/logs/stream", method="HEAD")
        async with world.client.live(), world.client.connection(asked) as connection:
            heard = [await connection.hear()]
            while heard[-1]["type"] == "http.response.start" or heard[-1].get("more_body"):
                heard.append(await connection.hear())
                assert len(heard) < 3, "a HEAD is answered with events"
            return heard

    start, end = world.client.run(talk())
    assert (start["status"], end.get("body", b"")) == (200, b"")


def test_streams_end_when_the_server_does_and_say_so(world: World, task_id: str):
    client = world.client

    async def talk() -> dict[str, Any]:
        path = f"{TRAINING}/{task_id}/logs/stream"
        async with client.live(), client.connection(scope("http", path)) as connection:
            event = await next_event(connection)
            world.runtime.live.close_soon()
            while "event" not in event:
                event = await next_event(connection)
            return event

    closing = client.run(talk())
    assert (closing["event"], closing["data"]["data"]) == ("closing", {"reason": "server_ending"})


# -- the server's own --------------------------------------------------------------------------------------------------


def test_the_servers_own_log_is_read_and_searched_alike(world: World):
    log = world.runtime.server_log
    log.write('{"time":"2026-01-01T00:00:00.000Z","level":"WARNING","message":"careful"}\nplain\n')
    log.flush()
    page = world.client.data("/api/v1/system/logs")
    assert [(line["level"], line["type"]) for line in page["logs"]] == [("warning", "system")] * 2
    assert "task_id" not in page
    [hit] = world.client.data("/api/v1/system/logs/search?keyword=careful")["results"]
    assert (hit["line_number"], hit["task_id"]) == (1, None)


def test_answers_are_of_their_declared_form(world: World, task_id: str):
    document = world.client.get("/openapi.json").json()
    for path in ("/api/v1/training/{task_id}/logs", "/api/v1/training/{task_id}/logs/search", "/api/v1/logs/search"):
        query = {"regex": ".", "context": 2} if path.endswith("search") else {}
        answer = world.client.get(path.replace("{task_id}", task_id), params=query)
        declared = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**declared, "components": document["components"]}).validate(answer.json())


def test_what_no_log_has_is_told_while_it_runs_and_over_all_attempts(world: World):
    task_id = world.run()
    assert world.get(task_id)["log_lost_bytes"] is None
    world.executor.loses(world.uid(task_id), 70)
    assert world.get(task_id)["log_lost_bytes"] == logs(world, task_id)["log_lost_bytes"] == 70
    world.end(task_id, outcome(log_lost_bytes=77, phrases=["TRAINING COMPLETE!"]))
    assert world.get(task_id)["log_lost_bytes"] == logs(world, task_id)["log_lost_bytes"] == 77
