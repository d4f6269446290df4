import json

from api.domain.log import EVERYTHING, Gap, LineFilter, LogEnd, LogLevel, LogLine, LogType
from api.domain.tasks.training import TaskStatus
from api.logs.batches import BATCH_BYTES, BATCH_LINES, batches_of, dropped_of, end_of, partial_of


def line(number: int, message: str = "x", level: LogLevel = LogLevel.INFO) -> LogLine:
    return LogLine(number * 10, number + 1, None, level, LogType.TRAIN, message, None, None, True, False)


def test_batches_are_bounded_and_cover_the_log_without_a_gap():
    lines = [line(number) for number in range(2 * BATCH_LINES + 5)]
    batches = list(batches_of("a", lines, end=9999))
    assert [len(batch.lines) for batch in batches] == [BATCH_LINES, BATCH_LINES, 5]
    assert [batch.start for batch in batches] == [0, BATCH_LINES * 10, 2 * BATCH_LINES * 10]
    assert [batch.next_offset for batch in batches] == [batches[1].start, batches[2].start, 9999]


def test_long_lines_make_short_batches_without_omission():
    lines = [line(number, "x" * (BATCH_BYTES // 2)) for number in range(3)]
    assert [len(batch.lines) for batch in batches_of("a", lines, 30)] == [1, 1, 1]
    (alone,) = batches_of("a", [line(0, "x" * 2 * BATCH_BYTES)], 1)
    assert len(alone.lines) == 1


def test_batch_names_its_task_except_in_the_servers_log():
    (batch,) = batches_of("a", [line(0, "hello")], 6)
    message = json.loads(batch.json)
    assert (message["type"], message["data"]["task_id"], message["data"]["next_offset"]) == ("log", "a", 6)
    assert message["data"]["logs"][0]["message"] == "hello"
    (own,) = batches_of(None, [line(0)], 2)
    assert "task_id" not in json.loads(own.json)["data"]


def test_filtered_batch_covers_the_same_part():
    (batch,) = batches_of("a", [line(0), line(1, "oh", LogLevel.ERROR)], 20)
    errors = batch.select("a", LineFilter(level=LogLevel.ERROR))
    assert errors is not None
    assert (errors.start, errors.next_offset, [each.message for each in errors.lines]) == (0, 20, ["oh"])
    assert [each["message"] for each in json.loads(errors.json)["data"]["logs"]] == ["oh"]
    assert batch.select("a", LineFilter(type=LogType.EVAL)) is None
    assert batch.select("a", EVERYTHING) is batch
    assert batch.select("a", LineFilter(type=LogType.TRAIN)) is batch


def test_dropped_part_is_reported_with_its_size():
    message = json.loads(dropped_of("a", Gap(10, 110, 7)).json)
    assert (message["type"], message["data"]) == (
        "dropped",
        {"task_id": "a", "from": 10, "to": 110, "bytes": 100, "lines": 7},
    )


def test_unfinished_line_covers_nothing():
    batch = partial_of("a", line(3))
    assert (batch.kind, batch.start, batch.next_offset) == ("partial", 30, 30)


def test_end_has_the_offset_for_a_resumed_task():
    batch = end_of("a", LogEnd(TaskStatus.COMPLETED, None, 0), 50)
    assert json.loads(batch.json)["data"] == {
        "task_id": "a",
        "status": "completed",
        "failure": None,
        "exit_code": 0,
        "next_offset": 50,
    }
    assert batch.select("a", LineFilter(level=LogLevel.ERROR)) is batch
