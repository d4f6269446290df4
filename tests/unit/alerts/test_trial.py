from datetime import UTC, datetime

import pytest

from api.alerts import trial as module
from api.alerts.evaluation import FactTable
from api.alerts.trial import try_rule
from api.domain.alert import AlertTarget
from api.domain.alert_rule import RuleScope
from api.gpus.history import GPUHistory
from tests.unit.alerts.facts import rule
from tests.unit.builders import reading, uuid_of, vitals

START = datetime(2026, 1, 1, 6, tzinfo=UTC)
PRESENT = FactTable(
    RuleScope.GPU,
    (AlertTarget("n/0", {"gpu_uuid": uuid_of(0)}, {"name": "GPU 0"}),),
    {"temperature_gpu": [85.0], "temperature_slowdown": [90.0], "lost": [0.0]},
)


def history(*temperatures: int) -> tuple[GPUHistory, datetime]:
    """One reading every 20 s; the time after the last."""
    kept, seconds = GPUHistory(20), START.timestamp()
    for at, temperature in enumerate(temperatures):
        gpu = reading(vitals=vitals(temperature_gpu=temperature))
        kept.record(seconds + 20 * at, 20.0 * at, [(gpu, True)])
    return kept, datetime.fromtimestamp(seconds + 20 * len(temperatures), UTC)


def test_a_rule_says_when_it_would_have_fired():
    hot, cool = [92] * 30, [60] * 30
    kept, now = history(*cool, *hot, *cool, *hot, *cool)
    trial = try_rule(rule(for_seconds=120), PRESENT, lambda _: kept, now)
    assert (trial.tried, trial.would_have_fired) == (True, 2)
    first, second = trial.periods
    assert 10 <= (first.since - START).total_seconds() / 60 <= 14
    assert (first.peak, first.target, second.until is not None) == (92, "hot: GPU 0", True)
    assert trial.words.startswith("It would have fired 2 times in the last 0.8 h: the last time hot: GPU 0")
    assert trial.breaching_now == ("GPU 0",)


def test_one_that_would_still_fire_has_no_end():
    kept, now = history(*[60] * 30, *[92] * 30)
    (period,) = try_rule(rule(for_seconds=60), PRESENT, lambda _: kept, now).periods
    assert period.until is None


def test_a_constant_of_the_board_can_be_compared_with():
    kept, now = history(*[60] * 30, *[88] * 30)
    near = rule(when=["temperature_gpu >= temperature_slowdown - 5"], clear=[], for_seconds=0)
    assert try_rule(near, PRESENT, lambda _: kept, now).would_have_fired == 1
    cool, now = history(*[60] * 30)
    assert try_rule(near, PRESENT, lambda _: cool, now).words == "It would not have fired in the last 0.2 h."


def test_without_a_history_of_its_metric_only_the_present_is_looked_at():
    kept, now = history(60)
    trial = try_rule(rule(when=["lost == 1"], clear=[]), PRESENT, lambda _: kept, now)
    assert (trial.tried, trial.periods, trial.unknown_now) == (False, (), ())
    assert "no history is kept of lost" in (trial.why_not or "")
    unknown = try_rule(rule(when=["fan_speed == 0"], clear=[]), PRESENT, lambda _: kept, now)
    assert unknown.unknown_now == ("GPU 0",)
    assert try_rule(rule(), None, lambda _: kept, now).breaching_now == ()


def test_before_the_first_minute_nothing_is_known():
    kept, now = GPUHistory(5), START
    assert try_rule(rule(), PRESENT, lambda _: kept, now).words == "Nothing is known of the last 24 h yet."


def place(node: str, index: int) -> AlertTarget:
    labels = {"gpu_uuid": uuid_of(index), "node": node}
    return AlertTarget(f"{node}/{index}", labels, {"name": f"GPU {index} on {node}"})


def test_gpus_of_other_machines_are_looked_at_in_their_own_past():
    own, _ = history(*[60] * 30)
    others, now = GPUHistory(30), START.timestamp()
    for at, temperature in enumerate([60] * 20 + [92] * 20):
        others.record(now + 30 * at, 30.0 * at, [(reading(1, vitals=vitals(temperature_gpu=temperature)), True)])
    targets = (place("here", 0), place("gpu2", 1))
    present = FactTable(RuleScope.GPU, targets, {"temperature_gpu": [60.0, 92.0]})
    end = datetime.fromtimestamp(now + 1200, UTC)
    trial = try_rule(rule(for_seconds=60), present, lambda node: own if node == "here" else others, end)
    assert [period.target for period in trial.periods] == ["hot: GPU 1 on gpu2"]
    assert trial.breaching_now == ("GPU 1 on gpu2",)


def test_of_very_many_gpus_the_past_of_some_is_looked_at_and_that_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_PASTS", 2)
    kept, now = history(*[92] * 30)
    targets = tuple(place("here", index) for index in range(3))
    present = FactTable(RuleScope.GPU, targets, {"temperature_gpu": [92.0] * 3})
    trial = try_rule(rule(for_seconds=0), present, lambda _: kept, now)
    assert (trial.would_have_fired, len(trial.breaching_now)) == (1, 3), "only GPU 0 has a past here"
    assert trial.why_not == "Only the past of the first 2 of 3 GPUs was looked at, and the present of all."
    assert trial.words.endswith(trial.why_not)
