"""Logs of tasks: which pages, which searches, over which of them."""

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


def test_a_page_is_the_tail_unless_something_else_is_asked_for(machine: TrainingMachine, logs: LogService):
    machine.put()
    machine.prints(numbered(1000))
    source = logs.find("a")
    assert len(messages(logs.get_page(source, wanted=EVERYTHING))) == DEFAULT_TAIL
    assert messages(logs.get_page(source, tail=2, wanted=EVERYTHING)) == ["line 998", "line 999"]
    assert messages(logs.get_page(source, offset=7, limit_bytes=14, wanted=EVERYTHING)) == ["line 1", "line 2"]
    assert messages(logs.get_page(source, tail=5, wanted=LineFilter(level=LogLevel.ERROR))) == []


def test_a_page_of_a_task_says_how_much_output_was_lost(machine: TrainingMachine, logs: LogService):
    machine.run()
    machine.executor.loses(machine.uid(), 12)
    page = logs.get_page(logs.find("a"), wanted=EVERYTHING)
    assert (getattr(page, "task_id", None), getattr(page, "log_lost_bytes", None)) == ("a", 12)


def test_epochs_are_counted_by_what_the_trainer_was_seen_to_do(machine: TrainingMachine, logs: LogService):
    machine.put()
    machine.prints(steps(1, 41))
    page = logs.get_page(logs.find("a"), wanted=EVERYTHING)
    assert [line.epoch for line in page.logs] == [1, 2]


def test_an_unknown_task_has_no_log(logs: LogService):
    with pytest.raises(TaskNotFound):
        logs.find("nobody")


def test_whether_its_task_has_ended_is_known_while_it_is_followed(machine: TrainingMachine, logs: LogService):
    machine.put()
    source = logs.find("a")
    assert source.look_up_end() is None
    machine.ask_to_stop()
    ended = source.look_up_end()
    assert ended is not None
    assert ended.status == "stopped"
    machine.tasks.delete("a", machine.clock.now())
    ended = source.look_up_end()
    assert ended is not None
    assert ended.status is None


QUERY = LogQuery(LogPattern("line", is_regex=False, ignore_case=False), limit=3)


def test_all_logs_are_searched_the_newest_first_and_page_by_page(machine: TrainingMachine, logs: LogService):
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


def test_one_log_is_searched_onward_from_an_offset(machine: TrainingMachine, logs: LogService):
    machine.put()
    machine.prints(numbered(5))
    first = logs.search(logs.find("a"), QUERY, None)
    assert ([hit.message for hit in first.results], first.total_matches) == (["line 0", "line 1", "line 2"], None)
    rest = logs.search(logs.find("a"), QUERY, first.next_offset)
    assert ([hit.message for hit in rest.results], rest.total_matches) == (["line 3", "line 4"], 2)


def test_only_so_many_search_at_a_time(machine: TrainingMachine, logs: LogService, monkeypatch: pytest.MonkeyPatch):
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
