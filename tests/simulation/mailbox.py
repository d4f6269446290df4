"""The receiver of alerts, which checks whether they are true."""

from dataclasses import dataclass, field

from api.alerts.delivery.notifiers.notifier import OutboundMessage
from api.domain.alerts.alert import NotificationKind
from api.domain.alerts.channel import AlertSnapshot
from tests.simulation.world import Broken, World

#: Seconds of absence before a node is reported, and of presence before the alert is resolved.
DOWN_SECONDS = 20.0
CLEAR_SECONDS = 10.0

#: Seconds of absence that must have been reported in any case.
LONG_SECONDS = 1200.0


@dataclass
class Mailbox:
    """A receiver that ignores repeated messages with the same id, as any may."""

    world: World
    delivered: dict[tuple[str, int], AlertSnapshot] = field(default_factory=dict)  #: by alert and number of its change
    by_message: dict[str, int] = field(default_factory=dict)  #: how often each message came

    def take(self, message: OutboundMessage) -> None:
        """Take a message. Raise Broken if it reports something twice, or something untrue."""
        self.by_message[message.id] = self.by_message.get(message.id, 0) + 1
        if self.by_message[message.id] > 1:
            return
        for alert in message.alerts:
            key = (alert.alert_id, alert.number)
            if key in self.delivered:
                raise Broken(f"{alert.title}: its change {alert.number} ({alert.kind}) is delivered twice")
            self.delivered[key] = alert
            self._check(alert)

    def _check(self, alert: AlertSnapshot) -> None:
        node = next(node for node in self.world.nodes if node.name == alert.labels["node"])
        now = self.world.clock.monotonic()
        if not node.was_away(float("-inf"), now, DOWN_SECONDS):
            raise Broken(f"{alert.title} is reported as {alert.kind}, and {node.name} was never away for so long")

    def check_all_delivered(self, fired: dict[str, str], is_open: set[str], flapping: set[str]) -> None:
        """Raise Broken if an alert that fired (by id, with its node) was not reported, or not resolved.

        Alerts of the nodes in `flapping` are ignored.
        """
        if is_open:
            raise Broken(f"{sorted(is_open)} still fires although every node is back")
        delivered = {alert.alert_id for alert in self.delivered.values()}
        if fired.keys() - delivered:
            raise Broken(f"{sorted(fired.keys() - delivered)} fired without a notification")
        for alert_id in delivered & fired.keys():
            # A message with several changes reports the last.
            last = max(number for delivered_id, number in self.delivered if delivered_id == alert_id)
            if self.delivered[alert_id, last].kind is NotificationKind.FIRING:
                raise Broken(f"{alert_id} on {fired[alert_id]} was reported as firing, but never as resolved")
        for node in self.world.nodes:
            was_long = any(end - begin >= LONG_SECONDS for begin, end in node.absences)
            if was_long and node.name not in {*fired.values(), *flapping}:
                raise Broken(f"{node.name} was away for {LONG_SECONDS:.0f} s, and no alert fired")
