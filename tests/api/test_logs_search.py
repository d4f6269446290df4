"""Searching logs by HTTP."""

from typing import Any

import pytest

from tests.api.client import failure_of
from tests.api.conftest import TRAINING, World
from tests.api.logs import CONTENT, LINES, run_with_log, write


@pytest.fixture
def task_id(world: World) -> str:
    return run_with_log(world)


def search(world: World, path: str, **query: Any) -> Any:
    return world.client.data(path, params=query)


def test_keyword_is_found_with_its_position_and_context(world: World, task_id: str):
    found = search(world, f"{TRAINING}/{task_id}/logs/search", keyword="Traceback", context=1)
    [hit] = found["results"]
    assert (hit["line_number"], hit["message"], hit["level"]) == (6, LINES[5], "error")
    assert (hit["matched_text"], hit["match_start"], hit["match_end"]) == ("Traceback", 0, 9)
    assert [line["message"] for line in hit["before"] + hit["after"]] == [LINES[4], LINES[6]]
    assert hit["task_id"] == task_id
    assert (found["complete"], found["stopped_because"], found["next_offset"]) == (True, None, None)
    assert found["searched_bytes"] == len(CONTENT)
    assert (found["task_id"], found["query"], found["total_matches"]) == (task_id, "Traceback", 1)


def test_search_continues_where_it_stopped(world: World, task_id: str):
    path, found, offset = f"{TRAINING}/{task_id}/logs/search", [], 0
    while offset is not None:
        part = search(world, path, regex="[a-z]", limit=1, offset=offset)
        found += [hit["message"] for hit in part["results"]]
        assert part["complete"] == (part["stopped_because"] is None) == (part["next_offset"] is None)
        offset = part["next_offset"]
    assert found == list(LINES)


def test_filters_restrict_the_results(world: World, task_id: str):
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
def test_pattern_that_re2_rejects_is_rejected_with_its_reason(world: World, task_id: str, pattern: str):
    answer = world.client.get(f"{TRAINING}/{task_id}/logs/search", params={"regex": pattern})
    assert answer.status_code == 400
    assert failure_of(answer)["error"]["code"] == "invalid_pattern"
    assert len(failure_of(answer)["message"]) > 30


@pytest.mark.parametrize(
    "query",
    [{}, {"keyword": "a", "regex": "a"}, {"keyword": ""}, {"regex": "a" * 1001}, {"keyword": "a", "context": 21}],
)
def test_search_without_a_valid_pattern_is_rejected(world: World, task_id: str, query: dict[str, Any]):
    for path in (f"{TRAINING}/{task_id}/logs/search", "/api/v1/logs/search", "/api/v1/system/logs/search"):
        assert world.client.get(path, params=query).status_code == 422
