from datetime import timedelta

import pytest

from api.alerts.builtin_rules import BUILTIN_RULES, INHIBITIONS
from api.alerts.muting import Muting, matches, mute
from api.alerts.tracks import Drafts, Track
from api.domain.alert import Matcher, Silence
from tests.unit.alerts.facts import NOW, firing

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
