"""Logs of tasks: their pages and searches."""

from pathlib import Path

import pytest

from api.domain.log import EVERYTHING, LineFilter, LogLevel, LogPage
from api.errors import SearchBusy, TaskNotFound
from api.logs import service as log_service
from api.logs.pattern import LogPattern
from api.logs.search import LogQuery
from api.logs.service import DEFAULT_TAIL, MAX_SEARCHES, LogService
from tests.unit.log_making import MadeLog
from tests.unit.trainings import TrainingMachine, steps


@pytest.fixture
def logs(machine: TrainingMachine, tmp_path: Path) -> LogService:
    return LogService(
        machine.tasks,
        machine.attempts,
        machine.parts.trainers,
        machine.root,
        machine.clock,
        MadeLog(tmp_path / "server").source,
        machine.executor,
    )


def messages(page: LogPage) -> list[str]:
    return [line.message for line in page.logs]


def numbered(count: int) -> str:
    return "".join(f"line {number}\n" for number in range(count))


def test_page_is_the_tail_by_default(machine: TrainingMachine, logs: LogService):
    machine.put()
    machine.prints(numbered(1000))
    source = logs.find("a")
    assert len(messages(logs.get_page(source, line_filter=EVERYTHING))) == DEFAULT_TAIL
    assert messages(logs.get_page(source, tail=2, line_filter=EVERYTHING)) == ["line 998", "line 999"]
    assert messages(logs.get_page(source, offset=7, limit_bytes=14, line_filter=EVERYTHING)) == ["line 1", "line 2"]
    assert messages(logs.get_page(source, tail=5, line_filter=LineFilter(level=LogLevel.ERROR))) == []


def test_page_of_a_task_has_the_amount_of_lost_output(machine: TrainingMachine, logs: LogService):
    machine.run()
    machine.executor.lose_output(machine.uid(), 12)
    page = logs.get_page(logs.find("a"), line_filter=EVERYTHING)
    assert (getattr(page, "task_id", None), getattr(page, "log_lost_bytes", None)) == ("a", 12)


def test_epochs_are_counted_by_the_observed_steps(machine: TrainingMachine, logs: LogService):
    machine.put()
    machine.prints(steps(1, 41))
    page = logs.get_page(logs.find("a"), line_filter=EVERYTHING)
    assert [line.epoch for line in page.logs] == [1, 2]


def test_unknown_task_has_no_log(logs: LogService):
    with pytest.raises(TaskNotFound):
        logs.find("nobody")


def test_end_of_the_task_is_known_to_its_followers(machine: TrainingMachine, logs: LogService):
    machine.put()
    source = logs.find("a")
    assert source.look_up_end() is None
    machine.request_task_stop()
    ended = source.look_up_end()
    assert ended is not None
    assert ended.status == "stopped"
    machine.tasks.delete("a", machine.clock.now())
    ended = source.look_up_end()
    assert ended is not None
    assert ended.status is None


QUERY = LogQuery(LogPattern("line", is_regex=False, ignore_case=False), limit=3)


def test_all_logs_are_searched_newest_first_and_page_by_page(machine: TrainingMachine, logs: LogService):
    for task_id in ("old", "new"):
        machine.put(task_id)
        machine.prints(numbered(2), task_id)
    first = logs.search_all(QUERY, None)
    assert [(hit.task_id, hit.message) for hit in first.results] == [
        ("new", "line 0"),
        ("new", "line 1"),
        ("old", "line 0"),
    ]
    assert not first.complete
    rest = logs.search_all(QUERY, first.next_cursor)
    assert ([hit.message for hit in rest.results], rest.complete, rest.next_cursor) == (["line 1"], True, None)


def test_one_log_is_searched_from_an_offset(machine: TrainingMachine, logs: LogService):
    machine.put()
    machine.prints(numbered(5))
    first = logs.search(logs.find("a"), QUERY, None)
    assert ([hit.message for hit in first.results], first.total_matches) == (["line 0", "line 1", "line 2"], None)
    rest = logs.search(logs.find("a"), QUERY, first.next_offset)
    assert ([hit.message for hit in rest.results], rest.total_matches) == (["line 3", "line 4"], 2)


def test_number_of_concurrent_searches_is_limited(
    machine: TrainingMachine, logs: LogService, monkeypatch: pytest.MonkeyPatch
):
    machine.put()
    source = logs.find("a")
    for _ in range(MAX_SEARCHES):
        assert logs._searches.acquire(blocking=False)
    with pytest.raises(SearchBusy):
        logs.search(source, QUERY, None)
    logs._searches.release()
    monkeypatch.setattr(log_service.SearchRun, "search", refuse)
    for _ in range(3):
        with pytest.raises(OSError, match="gone"):
            logs.search(source, QUERY, None)


def refuse(*_: object) -> None:
    raise OSError("gone")
