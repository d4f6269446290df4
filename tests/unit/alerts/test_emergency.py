import threading

from api.alerts.builtin_rules import BUILTIN_RULES
from api.alerts.emergency import RULE_ID, EmergencyNotifier
from api.alerts.evaluation import FactTable
from api.domain.alert import AlertTarget
from api.domain.alert_rule import RuleScope
from api.domain.channel import ChannelSecret
from api.domain.event import Severity
from tests.unit.alerts.conftest import Desk
from tests.unit.alerts.facts import channel, new_id, rule


def away(seconds: float) -> FactTable:
    target = AlertTarget("n", {"node": "n"}, {"name": "n", "node": "n", "database_problem": "it is gone"})
    return FactTable(RuleScope.SERVICE, (target,), {"database_away_seconds": [seconds]})


def test_database_outage_and_its_end_are_sent_once(desk: Desk):
    sealed = desk.sealer.seal(ChannelSecret("https://hooks.example/x"))
    known = [(channel(), sealed), (channel("c2", only_opted_in=True), sealed), (channel("c3", enabled=False), sealed)]
    notifier = EmergencyNotifier(desk.courier, desk.clock, new_id)
    for seconds in (10, 31, 40, 0, 0):
        notifier.check(BUILTIN_RULES[RULE_ID], away(seconds), known)
    notifier.send_pending()
    first, second = desk.notifier.sent
    assert (first.title, first.severity, first.is_resolved) == (
        "❌ n has not reached the database for 31 seconds: it is gone.",
        Severity.CRITICAL,
        False,
    )
    assert first.body.startswith("Check the database.")
    assert (second.title, second.is_resolved) == ("✅ n reaches the database again, after 0 seconds.", True)
    assert first.alerts[0].alert_id == second.alerts[0].alert_id


def test_disabled_rule_sends_nothing(desk: Desk):
    notifier = EmergencyNotifier(desk.courier, desk.clock, new_id)
    notifier.check(rule(BUILTIN_RULES[RULE_ID], enabled=False), away(99), [(channel(), b"")])
    notifier.check(None, away(99), [])
    notifier.send_pending()
    assert desk.notifier.sent == []


def test_thread_sends_pending_messages(desk: Desk):
    notifier = EmergencyNotifier(desk.courier, desk.clock, new_id)
    sent = threading.Event()
    desk.notifier.send = lambda *_: sent.set()  # type: ignore[assignment,method-assign,return-value]
    notifier.start()
    notifier.check(BUILTIN_RULES[RULE_ID], away(99), [(channel(), desk.sealer.seal(ChannelSecret("https://x")))])
    assert sent.wait(5)
    notifier.stop()
