import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.machines.history import Metric
from api.domain.machines.reading import Clocks
from api.gpus.history import DAY_SECONDS, MAX_POINTS, UNITS, GPUHistory, Series
from api.gpus.snapshot import GPUReading
from tests.unit.builders import lost, reading, uuid_of, vitals

UUID = uuid_of(0)
START = 1_700_000_000.0


class Recorder:
    """A history with one sample per beat."""

    def __init__(self, interval: float = 5.0, start: float = START) -> None:
        self.history = GPUHistory(interval)
        self.interval = interval
        self.time = start

    def put(self, *gpus: GPUReading, fresh: bool = True) -> None:
        self.history.record(self.time, self.time, [(gpu, fresh) for gpu in gpus])
        self.time += self.interval

    def put_temperatures(self, *values: int | None) -> None:
        for value in values:
            self.put(reading(vitals=vitals(temperature_gpu=value)))

    def read(
        self,
        metric: Metric = Metric.TEMPERATURE_GPU,
        since: float = 0.0,
        until: float = 1e11,
        step: float | None = None,
        uuid: str = UUID,
    ) -> Series:
        return self.history.read(uuid, metric, since, until, step)

    def values(self, **options: float) -> list[float | None]:
        return [point.value for point in self.read(**options).points]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def test_samples_are_returned_in_order(recorder: Recorder):
    recorder.put_temperatures(40, 41, 42)
    assert recorder.values() == [40, 41, 42]


def test_point_has_its_time(recorder: Recorder):
    recorder.put_temperatures(40, 41)
    assert [point.timestamp.timestamp() for point in recorder.read().points] == [START, START + 5]


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (Metric.UTILIZATION_GPU, 97),
        (Metric.UTILIZATION_MEMORY, 55),
        (Metric.MEMORY_USED, 80_000),
        (Metric.TEMPERATURE_GPU, 71),
        (Metric.TEMPERATURE_MEMORY, 82),
        (Metric.POWER_USAGE, 412.3),
        (Metric.CLOCK_SM, 1980),
        (Metric.FAN_SPEED, 130),
    ],
)
def test_every_metric_is_stored_exactly(recorder: Recorder, metric: Metric, value: float):
    full = vitals(
        utilization_gpu=97,
        utilization_memory=55,
        memory_used_mb=80_000,
        temperature_gpu=71,
        temperature_memory=82,
        power_watts=412.3,
        clocks=Clocks(sm=1980),
        fan_percent=130,
    )
    recorder.put(reading(vitals=full))
    assert recorder.read(metric).points[0].value == value


def test_power_is_stored_to_a_tenth_of_a_watt(recorder: Recorder):
    for watts in (0.29, 20.19, 4.35, 1.15, 0.3):
        recorder.put(reading(vitals=vitals(power_watts=watts)))
    assert [p.value for p in recorder.read(Metric.POWER_USAGE).points] == pytest.approx(
        [0.29, 20.19, 4.35, 1.15, 0.3], abs=0.0501
    )


@pytest.mark.parametrize("metric", Metric)
def test_every_metric_has_a_unit_and_an_unknown(recorder: Recorder, metric: Metric):
    recorder.put(lost())
    (point,) = recorder.read(metric).points
    assert (point.value, point.min, point.max) == (None, None, None)
    assert UNITS[metric]


def test_zero_is_a_value(recorder: Recorder):
    recorder.put_temperatures(0)
    assert recorder.values() == [0]


def test_reading_of_an_earlier_sweep_is_unknown(recorder: Recorder):
    recorder.put(reading(), fresh=False)
    assert recorder.values() == [None]


def test_gpu_without_a_uuid_is_left_out(recorder: Recorder):
    recorder.put(reading(identity=None))
    assert recorder.read(uuid="").points == ()


def test_unseen_gpu_has_no_history(recorder: Recorder):
    recorder.put_temperatures(40)
    assert recorder.read(uuid="GPU-absent").points == ()


def test_later_gpu_is_unknown_before(recorder: Recorder):
    recorder.put(reading(0))
    recorder.put(reading(0), reading(1))
    assert [point.value for point in recorder.read(uuid=uuid_of(1)).points] == [None, 35]


def test_vanished_gpu_is_unknown_afterwards(recorder: Recorder):
    recorder.put(reading(0), reading(1))
    recorder.put(reading(0))
    assert [point.value for point in recorder.read(uuid=uuid_of(1)).points] == [35, None]


def test_period_is_bounded_on_both_sides(recorder: Recorder):
    recorder.put_temperatures(*range(10))
    assert recorder.values(since=START + 10, until=START + 25) == [2, 3, 4, 5]


def test_reversed_period_is_empty(recorder: Recorder):
    recorder.put_temperatures(*range(10))
    assert recorder.values(since=START + 25, until=START + 10) == []


def test_exactly_one_day_is_stored():
    recorder = Recorder(interval=900.0)
    recorder.put_temperatures(*range(120))
    assert recorder.values(since=0) == list(range(24, 120))
    assert DAY_SECONDS / 900 == 96


def test_wrapped_ring_is_read_in_order():
    recorder = Recorder(interval=3600.0)
    recorder.put_temperatures(*range(30))
    assert recorder.values(since=START + 20 * 3600, until=START + 26 * 3600) == list(range(20, 27))


def test_gpu_added_after_the_wrap_is_aligned():
    recorder = Recorder(interval=3600.0)
    recorder.put_temperatures(*range(30))
    recorder.put(reading(0), reading(1))
    later = recorder.read(uuid=uuid_of(1)).points
    assert [point.value for point in later] == [None] * 23 + [35]


def test_faster_sweeps_are_reduced_to_one_per_second():
    recorder = Recorder(interval=0.25)
    recorder.put_temperatures(*range(40))
    assert len(recorder.read().points) == 10


def test_slightly_early_sweep_is_stored(recorder: Recorder):
    recorder.put_temperatures(40)
    recorder.time -= 0.3
    recorder.put_temperatures(41)
    assert recorder.history._times.tolist() == [START, START + 4.7]


def test_clock_set_back_does_not_stop_the_history(recorder: Recorder):
    recorder.history.record(START, 100.0, [(reading(), True)])
    recorder.history.record(START - 3600, 105.0, [(reading(vitals=vitals(temperature_gpu=50)), True)])
    recorder.history.record(START - 3595, 110.0, [(reading(vitals=vitals(temperature_gpu=51)), True)])
    assert recorder.values() == [50, 51]


def test_step_has_mean_minimum_and_maximum(recorder: Recorder):
    recorder.put_temperatures(40, 90, 50, 20)
    first, second = recorder.read(step=10).points
    assert (first.min, first.value, first.max) == (40, 65, 90)
    assert (second.min, second.value, second.max) == (20, 35, 50)


def test_step_below_the_interval_is_widened(recorder: Recorder):
    recorder.put_temperatures(40, 41)
    assert recorder.read(step=1).step == 5


def test_step_without_readings_is_null(recorder: Recorder):
    recorder.put_temperatures(40, None, None, 41)
    assert recorder.values() == [40, None, None, 41]


def test_pause_of_the_sweeps_is_a_gap_of_nulls(recorder: Recorder):
    recorder.put_temperatures(40)
    recorder.time += 20
    recorder.put_temperatures(41)
    assert recorder.values(step=5) == [40, None, None, None, None, 41]


def test_unknown_values_do_not_affect_the_mean(recorder: Recorder):
    recorder.put_temperatures(40, None, 60)
    (point,) = recorder.read(step=60).points
    assert (point.min, point.value, point.max) == (40, 50, 60)


def test_day_in_steps_of_a_second_is_widened_to_2000_points():
    recorder = Recorder(interval=5.0)
    for number in range(17_280):
        recorder.put(replace(reading(), vitals=vitals(temperature_gpu=99 if number == 9_999 else 40)))
    series = recorder.read(step=1)
    assert len(series.points) <= MAX_POINTS
    assert max(point.max or 0 for point in series.points) == 99


def test_peak_survives_downsampling():
    recorder = Recorder(interval=5.0)
    recorder.put_temperatures(*[40] * 3000, 99, 3, *[40] * 3000)
    points = recorder.read().points
    assert len(points) <= 501
    assert (max(p.max for p in points), min(p.min for p in points)) == (99, 3)


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 5000, allow_nan=False)), min_size=1, max_size=60),
    st.one_of(st.none(), st.integers(1, 400)),
)
def test_mean_lies_between_the_extremes(values: list[float | None], step: int | None):
    recorder = Recorder()
    for watts in values:
        recorder.put(reading(vitals=vitals(power_watts=watts)))
    points = recorder.read(Metric.POWER_USAGE, step=step).points
    for point in points:
        assert point.value is None or point.min <= point.value <= point.max
        assert (point.value is None) == (point.min is None) == (point.max is None)
    known = [value for value in values if value is not None]
    if known:
        highest = max(point.max for point in points if point.max is not None)
        lowest = min(point.min for point in points if point.min is not None)
        assert (highest, lowest) == pytest.approx((max(known), min(known)), abs=0.0501)


@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=80), st.integers(1, 100))
def test_points_are_ordered_whatever_the_sweeps_do(pauses: list[float], step: int):
    recorder = Recorder()
    for pause in pauses:
        recorder.time += pause * 10
        recorder.put_temperatures(40)
    times = [point.timestamp for point in recorder.read(step=step).points]
    assert times == sorted(set(times))


def test_means_are_keyed_by_step_number(recorder: Recorder):
    recorder.put_temperatures(40, None, 60)
    recorder.time += 60
    recorder.put_temperatures(None)
    found = recorder.history.averages(UUID, Metric.TEMPERATURE_GPU, 0.0, 1e11, 60.0)
    first = int(START // 60)
    assert (found[first], math.isnan(found[first + 1]), len(found)) == (50, True, 2)
