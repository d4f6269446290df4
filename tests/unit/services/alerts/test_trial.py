from datetime import UTC, datetime

from api.models.alert import AlertTarget
from api.models.alert_rule import RuleScope
from api.services.alerts.evaluation import FactTable
from api.services.alerts.trial import try_rule
from api.services.gpus.history import GPUHistory
from tests.unit.services.alerts.facts import rule
from tests.unit.services.builders import reading, uuid_of, vitals

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
    trial = try_rule(rule(for_seconds=120), PRESENT, kept, now)
    assert (trial.tried, trial.would_have_fired) == (True, 2)
    first, second = trial.periods
    assert 10 <= (first.since - START).total_seconds() / 60 <= 14
    assert (first.peak, first.target, second.until is not None) == (92, "hot: GPU 0", True)
    assert trial.words.startswith("It would have fired 2 times in the last 0.8 h: the last time hot: GPU 0")
    assert trial.breaching_now == ("GPU 0",)


def test_one_that_would_still_fire_has_no_end():
    kept, now = history(*[60] * 30, *[92] * 30)
    (period,) = try_rule(rule(for_seconds=60), PRESENT, kept, now).periods
    assert period.until is None


def test_a_constant_of_the_board_can_be_compared_with():
    kept, now = history(*[60] * 30, *[88] * 30)
    near = rule(when=["temperature_gpu >= temperature_slowdown - 5"], clear=[], for_seconds=0)
    assert try_rule(near, PRESENT, kept, now).would_have_fired == 1
    assert try_rule(near, PRESENT, *history(*[60] * 30)).words == "It would not have fired in the last 0.2 h."


def test_without_a_history_of_its_metric_only_the_present_is_looked_at():
    kept, now = history(60)
    trial = try_rule(rule(when=["lost == 1"], clear=[]), PRESENT, kept, now)
    assert (trial.tried, trial.periods, trial.unknown_now) == (False, (), ())
    assert "no history is kept of lost" in (trial.why_not or "")
    unknown = try_rule(rule(when=["fan_speed == 0"], clear=[]), PRESENT, kept, now)
    assert unknown.unknown_now == ("GPU 0",)
    assert try_rule(rule(), None, kept, now).breaching_now == ()


def test_before_the_first_minute_nothing_is_known():
    kept, now = GPUHistory(5), START
    assert try_rule(rule(), PRESENT, kept, now).words == "Nothing is known of the last 24 h yet."
