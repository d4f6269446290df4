"""Preprocessing and captioning by a vision model, through the generated client."""

from typing import Any

from tests.clients.walking import Walk
from tests.e2e.server import until


def preprocess(walk: Walk) -> str:
    """Resize the dataset `cats` into a new version, and return the id of the task."""
    body = walk.body("StartPreprocess", {"dataset": "cats@1", "short_side": 32, "captions": {"trigger": "ohwx"}})
    made = walk.call("start_preprocessing", body=body, expected=202, idempotency_key="smaller")
    result = _result(walk, made.task_id)
    assert (result.reference, result.made, result.problem_count) == ("cats@2", 2, 0)
    assert [row.task_id for row in walk.call("list_preprocessing", search=made.task_id).tasks] == [made.task_id]
    return str(made.task_id)


def read_its_output(walk: Walk, task_id: str) -> None:
    """Read its events, its log, a search in the log, and the complete log."""
    events = walk.call("list_preprocessing_events", task_id).events
    assert (events[0].current, events[-1].current) == ("queued", "completed")
    lines = [line.message for line in walk.call("get_preprocessing_logs", task_id).logs]
    found = walk.call("search_preprocessing_logs", task_id, keyword=lines[0]).results
    assert found[0].message == lines[0]
    # The file has the lines as the program printed them: JSON whose message is shown.
    printed = walk.call("download_preprocessing_logs", task_id).decode().splitlines()
    assert len(printed) == len(lines)
    assert all(message in line for message, line in zip(lines, printed, strict=True))


def write_captions(walk: Walk) -> None:
    """Request an estimate, then the captions themselves."""
    dry = walk.body("GenerateCaptions", {"dry_run": True, "version": "1"})
    assert walk.call("generate_captions", "cats", body=dry).estimate.questions == 1
    body = walk.body("GenerateCaptions", {"template": "short", "only_missing": False})
    made = walk.call("generate_captions", "cats", body=body, expected=202, idempotency_key="say")
    result = _result(walk, made.task.task_id)
    assert (result.previous, result.difference_count) == (2, 2)
    assert "a picture, number" in result.differences[0].after


def delete_preprocessing(walk: Walk, task_id: str) -> None:
    """Cancel one task, and delete another with its log."""
    body = walk.body("StartPreprocess", {"dataset": "cats@1", "short_side": 16, "into": "never"})
    cancelled = walk.call("start_preprocessing", body=body, expected=202).task_id
    walk.call("cancel_preprocessing", cancelled, expected=202)
    # It may end before the cancellation reaches it.
    ends = {"cancelled", "completed"}
    until(lambda: walk.call("get_preprocessing", cancelled).status.value in ends, what="its end")
    assert walk.call("delete_preprocessing", task_id).task_id == task_id
    assert walk.request("get_preprocessing", task_id)[0] == 404


def _result(walk: Walk, task_id: str) -> Any:
    """Return the result of a task that must succeed."""

    def has_ended() -> bool:
        status = walk.call("get_preprocessing", task_id)
        assert status.status.value not in ("failed", "cancelled"), status
        return bool(status.status.value == "completed")

    until(has_ended, what="what it makes")
    return walk.call("get_preprocessing", task_id).result
