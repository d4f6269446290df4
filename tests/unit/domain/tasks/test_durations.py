"""Usual durations of trainings."""

from dataclasses import replace

from api.domain.tasks.durations import CompletedRun, Load, RemainingWork, UsualDurations

LOAD = Load("flux", 1, 2, '{"rank": 16}')
HEAVY = replace(LOAD, settings='{"rank": 128}')


def run(step_seconds: float, load: Load = LOAD, other: float | None = 0.0) -> CompletedRun:
    return CompletedRun(load, step_seconds, other)


def test_training_takes_as_long_as_those_with_the_same_settings():
    pace = UsualDurations([run(13.0, HEAVY), run(1.0)])
    assert pace.seconds(RemainingWork(LOAD, 100)) == 100.0
    assert pace.seconds(RemainingWork(HEAVY, 100)) == 1300.0


def test_training_with_new_settings_takes_as_long_as_others_of_its_type():
    assert UsualDurations([run(2.0)]).seconds(RemainingWork(HEAVY, 100)) == 200.0


def test_no_comparable_training_gives_no_duration():
    assert UsualDurations([run(2.0)]).seconds(RemainingWork(replace(LOAD, gpu_count=2), 100)) is None
    assert UsualDurations([]).seconds(RemainingWork(LOAD, 100)) is None


def test_duration_is_the_median_of_the_latest_runs():
    runs = [run(each) for each in (1.0, 9.0, 1.5, 1.2, 1.4, 80.0, 90.0, 100.0)]
    assert UsualDurations(runs).seconds(RemainingWork(LOAD, 10)) == 14.0


def test_time_outside_of_steps_is_included_where_it_is_known():
    assert (
        UsualDurations([run(0.1, other=20.0), run(0.1, other=None), run(0.1, other=30.0)]).seconds(
            RemainingWork(LOAD, 10)
        )
        == 26.0
    )
    assert UsualDurations([run(0.1, other=None)]).seconds(RemainingWork(LOAD, 10)) == 1.0
