"""Forecasts of start times."""

from dataclasses import replace
from datetime import timedelta

from api.domain.tasks.labels import PriorityClass
from api.training.queue.forecast import forecast_queue, last_end
from tests.unit.builders import NOW
from tests.unit.training.queue.test_scheduler import held, offer, task


def urgent(name):
    return replace(task(name), priority_class=PriorityClass.URGENT)


def seconds_until(found, task_id):
    starts_at = found[task_id].starts_at
    return None if starts_at is None else (starts_at - NOW).total_seconds()


def test_task_with_a_free_gpu_starts_now():
    found = forecast_queue([task("a")], [offer(0)], {}, {"a": 60.0}, NOW)
    assert (found["a"].position, found["a"].starts_at, found["a"].seconds) == (1, NOW, 60.0)


def test_task_with_several_gpus_starts_when_the_last_is_free():
    gpus = [offer(0), held(1, "x"), held(2, "y")]
    found = forecast_queue([task("a", 2)], gpus, {"x": 30.0, "y": 90.0}, {}, NOW)
    assert seconds_until(found, "a") == 30.0


def test_later_tasks_wait_for_earlier_ones():
    found = forecast_queue([task("a"), task("b"), task("c")], [held(0, "x")], {"x": 10.0}, {"a": 100.0}, NOW)
    assert [seconds_until(found, name) for name in "abc"] == [10.0, 110.0, None]
    assert [found[name].position for name in "abc"] == [1, 2, 3]


def test_task_waits_for_its_requested_gpu():
    gpus = [offer(0), held(1, "x")]
    assert seconds_until(forecast_queue([task("a", 1, 1)], gpus, {"x": 5.0}, {}, NOW), "a") == 5.0


def test_start_is_unknown_if_the_end_of_a_running_task_is_unknown():
    assert seconds_until(forecast_queue([task("a")], [held(0, "x")], {}, {}, NOW), "a") is None


def test_foreign_program_is_not_expected_to_end():
    foreign = offer(0, is_available=False)
    assert seconds_until(forecast_queue([task("a")], [foreign, held(1, "x")], {"x": 7.0}, {}, NOW), "a") == 7.0


def test_times_are_relative_to_now():
    found = forecast_queue([task("a")], [held(0, "x")], {"x": 1.5}, {}, NOW)
    assert found["a"].starts_at == NOW + timedelta(seconds=1.5)


def test_queue_is_empty_when_its_last_task_has_ended():
    found = forecast_queue([task("a"), task("b")], [held(0, "x")], {"x": 10.0}, {"a": 100.0, "b": 5.0}, NOW)
    assert last_end(list(found.values())) == NOW + timedelta(seconds=115)


def test_end_of_the_queue_is_unknown_if_one_duration_is():
    found = forecast_queue([task("a"), task("b")], [offer(0), offer(1)], {}, {"a": 100.0}, NOW)
    assert last_end(list(found.values())) is None
    assert last_end([]) is None


def test_urgent_task_is_expected_to_take_the_gpu_of_a_background_training():
    queue = [urgent("a"), urgent("b"), task("c")]
    found = forecast_queue(queue, [held(0, "x")], {"x": 900.0}, dict.fromkeys("abc", 60.0), NOW, leaves_in={"x": 10.0})
    # The training that made room goes on after the urgent ones, and needs what it needed before.
    assert [seconds_until(found, name) for name in "abc"] == [10.0, 70.0, 1020.0]


def test_urgent_task_does_not_wait_for_a_pre_emption_if_the_gpu_is_free_before():
    gpus = [held(0, "x"), held(1, "y")]
    found = forecast_queue([urgent("a")], gpus, {"x": 5.0}, {}, NOW, leaves_in={"x": 10.0, "y": 20.0})
    assert seconds_until(found, "a") == 5.0


def test_end_of_a_training_without_progress_stays_unknown_after_urgent_ones():
    found = forecast_queue([urgent("a"), task("b")], [held(0, "x")], {}, {"a": 60.0}, NOW, leaves_in={"x": 10.0})
    assert [seconds_until(found, name) for name in "ab"] == [10.0, None]
