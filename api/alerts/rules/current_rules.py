"""The rules, silences and channels that the alert loop uses, as last read from the database."""

from collections.abc import Mapping, Sequence

from api.alerts.records.alert_store import AlertStore
from api.alerts.records.channel_store import ChannelStore
from api.alerts.records.rule_store import RuleStore
from api.domain.alerts.alert import Silence
from api.domain.alerts.alert_rule import AlertRule
from api.domain.alerts.channel import Channel
from api.util.clock import SLACK_SECONDS, Clock

#: Seconds between two checks for changes by other servers' requests.
REFRESH_SECONDS = 2.0

#: Channels with their encrypted addresses, as last read.
KnownChannels = Sequence[tuple[Channel, bytes]]


class CurrentRules:
    """What is in force, read again when a request to any server has changed it. Not thread-safe, except `expire`."""

    def __init__(
        self,
        alerts: AlertStore,
        rules: RuleStore,
        builtin: Mapping[str, AlertRule],
        channels: ChannelStore,
        clock: Clock,
    ) -> None:
        self._alerts = alerts
        self._rule_store = rules
        self._builtin = builtin
        self._channel_store = channels
        self._clock = clock
        self._version: int | None = None
        self._offset = 0.0  #: wall clock minus monotonic clock when silences were last read
        self._refreshed_at = float("-inf")
        self.rules: Mapping[str, AlertRule] = {}
        self.silences: Sequence[Silence] = []
        self.channels: dict[str, Channel] = {}
        self.secrets: KnownChannels = []

    def expire(self) -> None:
        """Check for changes at the next `refresh`."""
        self._refreshed_at = float("-inf")

    def refresh(self) -> bool:
        """Read everything again if it has changed, and return whether it has. Raise DatabaseUnavailable."""
        monotonic = self._clock.monotonic()
        if monotonic - self._refreshed_at < REFRESH_SECONDS:
            return False
        version, offset = self._alerts.version(), self._clock.now().timestamp() - monotonic
        # Setting the clock can end or start silences.
        is_changed = version != self._version or abs(offset - self._offset) > SLACK_SECONDS
        if is_changed:
            self._offset = offset
            self.rules = self._rule_store.load(self._builtin)
            self.silences = self._rule_store.active_silences(self._clock.now())
            self.secrets = self._channel_store.with_secrets()
            self.channels = {channel.channel_id: channel for channel, _ in self.secrets}
        self._version, self._refreshed_at = version, monotonic
        return is_changed
