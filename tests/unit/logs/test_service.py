"""Logs of tasks: their pages and searches."""

from pathlib import Path

import pytest

from api.domain.log import EVERYTHING, LineFilter, LogLevel, LogPage
from api.domain.tasks.training import TaskStatus
from api.errors import SearchBusy, TaskNotFound
from api.executors.fake import outcome
from api.logs import service as log_service
from api.logs.search import LogPattern, LogQuery
from api.logs.service import DEFAULT_TAIL, MAX_SEARCHES, LogService, find_end
from api.training.records.attempt_store import TaskStores
from tests.unit.log_making import MadeLog
from tests.unit.trainings import TrainingMachine, steps


@pytest.fixture
def logs(machine: TrainingMachine, tmp_path: Path) -> LogService:
    return LogService(
        TaskStores(machine.tasks, machine.attempts),
        machine.parts.output,
        machine.executor,
        MadeLog(tmp_path / "server").source,
        machine.clock,
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
    running: list[str] = []

    def search_again(*_: object) -> None:
        running.append("search")
        logs.search(logs.find("a"), QUERY, None)

    monkeypatch.setattr(log_service.SearchRun, "search", search_again)
    for _ in range(2):
        with pytest.raises(SearchBusy):
            logs.search(logs.find("a"), QUERY, None)
        assert len(running) == MAX_SEARCHES
        running.clear()


def test_running_task_has_no_end(machine: TrainingMachine):
    machine.put()
    assert find_end(machine.tasks, machine.attempts, "a") is None
    machine.train()
    assert find_end(machine.tasks, machine.attempts, "a") is None


def test_end_is_that_of_the_latest_attempt(machine: TrainingMachine):
    machine.run()
    machine.end(how=outcome(exit_code=3))
    end = find_end(machine.tasks, machine.attempts, "a")
    assert end is not None
    assert (end.task_id, end.status, end.exit_code) == ("a", TaskStatus.FAILED, 3)
    assert end.failure is not None


def test_task_that_was_stopped_in_the_queue_has_no_exit_code(machine: TrainingMachine):
    machine.put()
    machine.request_task_stop()
    end = find_end(machine.tasks, machine.attempts, "a")
    assert end is not None
    assert (end.status, end.exit_code, end.failure) == (TaskStatus.STOPPED, None, None)


def test_unknown_task_is_not_found(machine: TrainingMachine):
    with pytest.raises(TaskNotFound):
        find_end(machine.tasks, machine.attempts, "nobody")
