import logging
import threading
import time

import pytest

from api.errors import DatabaseUnavailable
from api.util.measures import loop_rounds
from api.util.periodic import PeriodicThread
from tests.unit.observed import observed


def test_interval_loop_runs_immediately():
    ran = threading.Event()
    thread = PeriodicThread("test-loop", 3600.0, ran.set)
    thread.start()
    assert ran.wait(10)
    assert thread.stop()


def test_triggered_loop_waits_for_its_trigger():
    ran = threading.Event()
    thread = PeriodicThread("test-loop", None, ran.set)
    thread.start()
    assert not ran.is_set()
    thread.trigger()
    assert ran.wait(10)
    assert thread.stop()


def test_trigger_runs_an_interval_loop_early():
    runs = threading.Semaphore(0)
    thread = PeriodicThread("test-loop", 3600.0, runs.release)
    thread.start()
    assert runs.acquire(timeout=30)
    thread.trigger()
    assert runs.acquire(timeout=30)
    assert thread.stop()


def test_triggers_during_a_rest_are_handled_together_after_it():
    times: list[float] = []
    ran = threading.Semaphore(0)

    def body() -> None:
        times.append(time.monotonic())
        ran.release()

    thread = PeriodicThread("test-loop", None, body, rest=0.2)
    thread.start()
    thread.trigger()
    assert ran.acquire(timeout=30)
    for _ in range(5):
        thread.trigger()
    assert ran.acquire(timeout=30)
    assert times[1] - times[0] >= 0.2
    assert thread.stop()
    assert len(times) == 2


def test_failing_body_is_logged_and_the_loop_continues(caplog: pytest.LogCaptureFixture):
    runs = threading.Semaphore(0)

    def body() -> None:
        runs.release()
        raise ValueError("broken")

    thread = PeriodicThread("test-loop", 0.0, body)
    with caplog.at_level(logging.ERROR):
        thread.start()
        for _ in range(3):
            assert runs.acquire(timeout=30)
        assert thread.stop()
    assert "loop body failed" in caplog.messages


def test_unavailable_database_is_logged_without_a_traceback(caplog: pytest.LogCaptureFixture):
    runs = threading.Semaphore(0)

    def body() -> None:
        runs.release()
        raise DatabaseUnavailable("It is away.")

    thread = PeriodicThread("test-loop", 0.0, body)
    thread.start()
    for _ in range(2):
        assert runs.acquire(timeout=30)
    assert thread.stop()
    assert {(record.levelname, record.exc_info) for record in caplog.records} == {("WARNING", None)}


def test_stop_reports_a_stuck_body(caplog: pytest.LogCaptureFixture):
    entered, release = threading.Event(), threading.Event()

    def body() -> None:
        entered.set()
        release.wait(30)

    thread = PeriodicThread("test-loop", 0.0, body)
    thread.start()
    assert entered.wait(10)
    assert not thread.stop(timeout=0.0)
    assert "thread did not stop in time" in caplog.messages
    release.set()
    assert thread.stop(timeout=10)


def test_stop_before_start_is_no_failure():
    assert PeriodicThread("test-loop", 1.0, lambda: None).stop()


def test_stopped_loop_never_runs_again():
    runs = []
    thread = PeriodicThread("test-loop", None, lambda: runs.append(1))
    thread.start()
    assert thread.stop()
    thread.trigger()
    assert runs == []


def test_body_may_stop_its_own_loop():
    results = []
    done = threading.Event()

    def body() -> None:
        results.append(thread.stop())
        done.set()

    thread = PeriodicThread("test-loop", 0.0, body)
    thread.start()
    assert done.wait(10)
    assert results == [True]


def test_second_start_is_rejected():
    thread = PeriodicThread("test-loop", None, lambda: None)
    thread.start()
    with pytest.raises(RuntimeError, match="test-loop"):
        thread.start()
    assert thread.stop()


def test_triggers_do_not_delay_the_next_scheduled_run():
    runs = threading.Semaphore(0)
    thread = PeriodicThread("test-loop", 0.5, runs.release)
    thread.start()
    for _ in range(20):
        thread.trigger()
        assert runs.acquire(timeout=30)
    # If each trigger added an interval, the next run would be ten seconds away.
    assert runs.acquire(timeout=30)
    assert thread.stop()


def test_rounds_of_loops_of_one_kind_are_measured_together():
    before = observed(loop_rounds, "test-measured")
    for number in range(2):
        ran = threading.Event()
        thread = PeriodicThread(f"test-measured-{number}", 3600.0, ran.set)
        thread.start()
        assert ran.wait(10)
        assert thread.stop()
    assert observed(loop_rounds, "test-measured") == before + 2
