from api.alerts.tracks import Drafts, Track, fingerprint
from api.domain.alerts.alert import AlertNotification, NotificationKind
from api.domain.reason import text_of
from tests.unit.alerts.fact_builders import HOT, NOW, firing, gpus, rule

KEY = ("hot", "n/0")


def test_several_changes_of_a_round_are_one():
    drafts, track = Drafts(), Track(firing(number=4))
    drafts.of(KEY, track).change("one", value=1.0)
    draft = drafts.of(KEY, track)
    draft.change("two", peak=2.0)
    draft.change(notified=("c1",))
    draft.notifications.append(AlertNotification("alert_1", 0, NotificationKind.FIRING, "c1", HOT.severity, "g", NOW))
    change = drafts.all[0].finished(NOW)
    assert (text_of(change.message or ""), change.after.number, change.after.value, change.after.peak) == (
        "one; two",
        5,
        1.0,
        2.0,
    )
    assert [note.number for note in change.notifications] == [5]
    assert track.alert.value == 90.0
    assert drafts.current(KEY, track).value == 1.0


def test_new_alert_has_the_first_number():
    draft = Drafts().begin(KEY, Track(firing(number=0)))
    change = draft.finished(NOW)
    assert (change.before, change.after.number, change.message) == (None, 1, None)


def test_fingerprint_depends_on_rule_target_and_labels():
    target, other = gpus(1, 2).targets
    assert fingerprint(HOT, target) == fingerprint(rule(for_seconds=5), target)
    assert len({fingerprint(HOT, target), fingerprint(HOT, other), fingerprint(rule(labels={"a": "b"}), target)}) == 3
