from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from api.alerts.delivery.planning import Muting, Planner, is_reached, is_repeat_due, matches, mute, quiet_until
from api.alerts.rules.builtin import BUILTIN_RULES, INHIBITIONS
from api.alerts.tracks import Draft, Drafts, Track
from api.domain.alerts.alert import Alert, AlertState, AlertTarget, Matcher, NotificationKind, Silence
from api.domain.alerts.channel import Channel, QuietHours
from api.domain.machines.gpu_event import Severity
from tests.unit.alerts.fact_builders import HOT, NOW, channel, firing, rule

BERLIN = QuietHours("Europe/Berlin", time(22), time(7))


def draft(alert: Alert, *kinds: NotificationKind) -> Draft:
    return Draft(("hot", "n/0"), Track(alert), None, alert, kinds=list(kinds))


def plan(alert: Alert, *channels: Channel, kind: NotificationKind = NotificationKind.FIRING, **more: object) -> Draft:
    made = draft(alert, kind)
    Planner({each.channel_id: each for each in channels}, NOW).plan(made, more.get("rule", HOT), more.get("target"))  # type: ignore[arg-type]
    return made


def notified(made: Draft) -> list[tuple[str, NotificationKind]]:
    return [(note.channel_id, note.kind) for note in made.notifications]


def test_alert_is_sent_through_every_matching_channel():
    made = plan(
        firing(),
        channel("all"),
        channel("off", enabled=False),
        channel("grave", min_severity=Severity.CRITICAL),
        channel("mine", matchers=(Matcher("node", "n"), Matcher("rule", "h*", is_glob=True))),
        channel("other", matchers=(Matcher("node", "m"),)),
        channel("opted", only_opted_in=True),
    )
    assert notified(made) == [("all", NotificationKind.FIRING), ("mine", NotificationKind.FIRING)]
    assert (made.after.notified, made.after.notified_at) == (("all", "mine"), NOW)


def test_critical_alert_waits_less():
    waits = [
        (plan(firing(severity=severity), channel()).notifications[0].not_before - NOW).total_seconds()
        for severity in (Severity.WARNING, Severity.CRITICAL)
    ]
    assert waits == [30, 5]


def test_only_notified_channels_get_the_end():
    ended = firing(state=AlertState.RESOLVED, notified=("a", "gone", "quiet"))
    made = plan(
        ended, channel("a"), channel("b"), channel("quiet", send_resolved=False), kind=NotificationKind.RESOLVED
    )
    assert notified(made) == [("a", NotificationKind.RESOLVED)]
    assert made.after.notified == ()


def test_end_of_an_event_is_not_sent():
    ended = firing(state=AlertState.RESOLVED, notified=("a",))
    assert notified(plan(ended, channel("a"), kind=NotificationKind.RESOLVED, rule=rule(is_event=True))) == []


def test_muted_alert_sends_neither_start_nor_end():
    assert notified(plan(firing(muted_by="silence_1"), channel())) == []
    ended = firing(state=AlertState.RESOLVED, notified=("c1",), muted_by="silence_1")
    assert notified(plan(ended, channel(), kind=NotificationKind.RESOLVED)) == []
    ended = firing(state=AlertState.RESOLVED, notified=("c1",), muted_by="alert_9")
    assert notified(plan(ended, channel(), kind=NotificationKind.RESOLVED)) == [("c1", NotificationKind.RESOLVED)]


def test_channel_that_was_notified_is_not_notified_again_after_a_silence():
    made = plan(firing(notified=("a",)), channel("a"), channel("b"))
    assert notified(made) == [("b", NotificationKind.FIRING)]
    assert made.after.notified == ("a", "b")


def test_flapping_is_sent_to_all_and_then_nothing_until_it_ends():
    flapping = firing(flapping_since=NOW, notified=("a",))
    assert notified(plan(flapping, channel("a"), kind=NotificationKind.FLAPPING)) == [("a", NotificationKind.FLAPPING)]
    assert notified(plan(flapping, channel("a"), channel("b"))) == []
    calm = plan(firing(notified=("a",)), channel("a"), kind=NotificationKind.CALM)
    assert notified(calm) == [("a", NotificationKind.CALM)]


def test_training_selects_its_channels():
    target = AlertTarget("t1", {}, {}, None, ("name-mine",), ("training_finished",))
    finished = firing(rule_id="training_finished", severity=Severity.INFO)
    opt_in = rule(rule_id="training_finished", is_opt_in=True)
    channels = (channel("mine", only_opted_in=True), channel("all", min_severity=Severity.INFO))
    assert notified(plan(finished, *channels, rule=opt_in, target=target)) == [("mine", NotificationKind.FIRING)]
    assert notified(plan(finished, *channels, rule=opt_in)) == []


def test_broken_channel_is_reported_through_the_others():
    broken = firing(labels={"channel_id": "a"})
    assert [is_reached(channel(each), broken, HOT, None) for each in ("a", "b")] == [False, True]


@pytest.mark.parametrize(
    ("severity", "hours", "due"),
    [
        (Severity.CRITICAL, 3.9, False),
        (Severity.CRITICAL, 4.0, True),
        (Severity.WARNING, 23.0, False),
        (Severity.WARNING, 24.5, True),
        (Severity.INFO, 1000.0, False),
    ],
)
def test_repetition_follows_its_interval(severity: Severity, hours: float, due: bool):
    alert = firing(severity=severity, notified=("c1",), notified_at=NOW)
    assert is_repeat_due(alert, channel().settings, NOW + timedelta(hours=hours)) is due


def test_repetition_is_sent_once_per_interval():
    alert = firing(severity=Severity.CRITICAL, notified=("c1",), notified_at=NOW)
    at = NOW + timedelta(hours=9)
    planner = Planner({"c1": channel()}, at)
    assert planner.has_reminder(Track(alert))
    made = draft(alert)
    planner.remind(made)
    assert notified(made) == [("c1", NotificationKind.REPEAT)]
    assert not planner.has_reminder(Track(made.after))


@pytest.mark.parametrize("quiet", [{"acknowledged_by": "ann"}, {"muted_by": "s"}, {"flapping_since": NOW}])
def test_acknowledged_alert_is_not_repeated(quiet: dict[str, object]):
    alert = replace(firing(severity=Severity.CRITICAL, notified=("c1",), notified_at=NOW), **quiet)  # type: ignore[arg-type]
    assert not Planner({"c1": channel()}, NOW + timedelta(days=9)).has_reminder(Track(alert))


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-01-01T20:59:00", None),
        ("2026-01-01T21:00:00", "2026-01-02T06:00:00"),
        ("2026-01-02T05:59:00", "2026-01-02T06:00:00"),
        ("2026-01-02T06:00:00", None),
        # The nights on which daylight saving time changes: 7 o'clock stays 7 o'clock.
        ("2026-03-28T22:00:00", "2026-03-29T05:00:00"),
        ("2026-10-24T21:00:00", "2026-10-25T06:00:00"),
    ],
)
def test_quiet_hours_follow_the_wall_clock(now: str, until: str | None):
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    expected = None if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert quiet_until(BERLIN, at) == expected


def test_quiet_hours_within_a_day():
    lunch = QuietHours("UTC", time(12), time(13))
    assert quiet_until(lunch, NOW.replace(hour=12, minute=30)) == NOW.replace(hour=13)
    assert quiet_until(lunch, NOW) is None


def test_only_critical_alerts_are_sent_in_quiet_hours():
    night = channel(quiet_hours=QuietHours("UTC", time(22), time(7)))
    (warned,) = plan(firing(), night).notifications
    assert (warned.not_before, warned.group_key) == (
        NOW.replace(hour=7),
        f"quiet hours until {NOW.replace(hour=7).isoformat()}",
    )
    (grave,) = plan(firing(severity=Severity.CRITICAL), night).notifications
    assert grave.not_before == NOW + timedelta(seconds=5)


def test_end_of_a_failure_is_not_sent():
    failed = BUILTIN_RULES["training_failed"]
    ended = firing(state=AlertState.RESOLVED, notified=("a",))
    assert notified(plan(ended, channel("a"), kind=NotificationKind.RESOLVED, rule=failed)) == []


@pytest.mark.parametrize(("has_failed", "count"), [(True, 0), (False, 1)])
def test_end_of_an_alert_about_a_failed_task_is_not_sent(has_failed: bool, count: int):
    made = draft(firing(state=AlertState.RESOLVED, notified=("a",)), NotificationKind.RESOLVED)
    made.track.target = AlertTarget("t", has_failed=has_failed)
    Planner({"a": channel("a")}, NOW).plan(made, HOT, None)
    assert len(notified(made)) == count


def test_event_is_sent_once_and_not_to_channels_that_are_created_later():
    event, alert = rule(is_event=True), firing()
    for before, kinds, count in (
        (None, [NotificationKind.FIRING], 1),
        (alert, [], 0),
        (replace(alert, muted_by="silence_1"), [], 1),
    ):
        made = Draft(("hot", "n/0"), Track(alert), before, alert, kinds=kinds)
        Planner({"c1": channel()}, NOW).plan(made, event, None)
        assert len(notified(made)) == count


@pytest.mark.parametrize("hours", [-25, 25])
def test_repetitions_use_monotonic_time(hours: int):
    alert = firing(severity=Severity.CRITICAL, notified=("c1",), notified_at=NOW)
    channels = {"c1": channel()}
    track, wall = Track(alert, fired_at=1000.0), NOW + timedelta(hours=hours)
    assert not Planner(channels, wall, 1000.0 + 3.9 * 3600).has_reminder(track)
    planner = Planner(channels, wall, 1000.0 + 4.1 * 3600)
    assert planner.has_reminder(track)
    made = Draft(("hot", "n/0"), track, alert, alert)
    planner.remind(made)
    assert notified(made) == [("c1", NotificationKind.REPEAT)]
    track.alert = made.after
    assert not Planner(channels, wall, 1000.0 + 4.2 * 3600).has_reminder(track)


LOST = firing(alert_id="alert_lost", rule_id="gpu_lost")
WARM = firing(alert_id="alert_warm", rule_id="near_slowdown")


def silence(*matchers: Matcher, minutes: int = 10) -> Silence:
    return Silence("silence_1", matchers, NOW, NOW + timedelta(minutes=minutes), "ann", "why", NOW)


def test_lost_gpu_inhibits_its_temperature_but_not_that_of_others():
    muting = Muting([], [LOST, WARM], NOW)
    assert muting.find(WARM) == "alert_lost"
    assert muting.find(LOST) is None
    assert muting.find(firing(rule_id="near_slowdown", labels={"gpu_uuid": "1", "node": "n"})) is None


def test_silence_applies_if_all_its_matchers_match():
    rule_and_node = silence(Matcher("rule", "near_*", is_glob=True), Matcher("node", "n"))
    assert Muting([rule_and_node], [], NOW).find(WARM) == "silence_1"
    assert Muting([silence(Matcher("rule", "near_*"))], [], NOW).find(WARM) is None
    assert Muting([silence(Matcher("severity", "critical"))], [], NOW).find(WARM) is None
    assert Muting([rule_and_node], [], NOW + timedelta(hours=1)).find(WARM) is None


@pytest.mark.parametrize(
    "matcher", [Matcher("task_id", "*", is_glob=True), Matcher("task_id", ""), Matcher("task_id", "x")]
)
def test_missing_label_matches_no_matcher(matcher: Matcher):
    assert not matches([matcher], {"rule": "hot"})


def test_muting_is_recorded_and_withdrawn():
    tracks = {("gpu_lost", "n/0"): Track(LOST), ("near_slowdown", "n/0"): Track(WARM)}
    drafts = Drafts()
    mute(tracks, drafts, [], NOW)
    (draft,) = drafts.all
    assert (draft.after.muted_by, draft.messages) == ("alert_lost", ["inhibited by alert_lost"])
    again = Drafts()
    mute({("near_slowdown", "n/0"): Track(draft.after)}, again, [], NOW)
    (draft,) = again.all
    assert (draft.after.muted_by, draft.messages) == (None, ["no longer muted"])


def test_inhibitions_name_existing_rules_without_cycles():
    for source, muted, _ in INHIBITIONS:
        assert {source, *muted} <= BUILTIN_RULES.keys()
        assert source not in muted
    edges = {(source, each) for source, muted, _ in INHIBITIONS for each in muted}
    assert not {(one, other) for one, other in edges if (other, one) in edges}
