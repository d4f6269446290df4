"""The channel of the setting NOTIFY_URL, of the environment or stored.

All servers share its one row, so that no message is sent twice.
"""

import logging
from dataclasses import replace

from api.alerts.delivery.channels import mark_of
from api.alerts.delivery.notifiers.notifier import Notifier
from api.alerts.records.channel_store import ChannelStore
from api.db.sealing import Sealer, SecretUnreadable
from api.domain.alerts.channel import ENVIRONMENT_CHANNEL, Channel, ChannelKind, ChannelSecret, ChannelSettings
from api.errors import Conflict, DatabaseUnavailable
from api.nodes.server_store import ServerStore
from api.util.clock import Clock

logger = logging.getLogger(__name__)

NAME = "NOTIFY_URL"

#: The creator of the channel of a stored setting.
_STORED = "settings"

#: Maximum length of `created_by` in the database.
_LONGEST = 64


class EnvironmentChannel:
    """Updates the channel's row from the setting when a server starts."""

    def __init__(
        self,
        url: str,
        notifier: Notifier,
        store: ChannelStore,
        servers: ServerStore,
        sealer: Sealer,
        node: str,
        clock: Clock,
    ) -> None:
        """Create the channel. With an empty `url`, `update` deletes the row. Raises AddressRefused."""
        self._notifier = notifier
        self._secret, self._shown = ChannelSecret(url), self.check(url)
        self._store = store
        self._servers = servers
        self._sealer = sealer
        self._node = node
        self._own = self._made_by = f"environment of {node}"[:_LONGEST]
        self._clock = clock

    def check(self, url: str) -> str:
        """Return an address as it may be shown. Raises AddressRefused."""
        return self._notifier.check(ChannelSecret(url)).text if url else ""

    def change(self, url: str, *, is_stored: bool) -> None:
        """Use another address from now on; `is_stored`: it is that of the database. Raises AddressRefused."""
        if url != self._secret.url:
            self._secret, self._shown = ChannelSecret(url), self.check(url)
            self._made_by = _STORED if is_stored else self._own
            self.update()

    def update(self) -> None:
        """Create, change or delete the channel.

        While servers run on other machines, only the machine that created it deletes it: another machine may have the
        setting while this one does not. A stored setting is the same for all.
        """
        try:
            if self._secret.url:
                self._save()
            else:
                self._delete()
        except Conflict:
            # Another server has just created it, or a user has created a channel with this name.
            logger.warning("the channel of NOTIFY_URL was not created: its name is taken")
        except (DatabaseUnavailable, SecretUnreadable, OSError) as error:
            logger.warning("the channel of NOTIFY_URL could not be saved", extra={"problem": str(error)})

    def _find(self) -> Channel | None:
        return next((each for each in self._store.every() if each.is_from_environment), None)

    def _delete(self) -> None:
        before = self._find()
        if before is None:
            return
        is_alone = all(server.node == self._node for server in self._servers.list())
        if is_alone or before.created_by in (self._own, _STORED):
            self._store.delete(before.channel_id)

    def _save(self) -> None:
        before, now = self._find(), self._clock.now()
        channel = Channel(
            channel_id=ENVIRONMENT_CHANNEL,
            name=NAME,
            kind=ChannelKind.APPRISE,
            shown=self._shown,
            mark=mark_of(self._secret),
            settings=ChannelSettings(),
            enabled=True,
            created_at=now,
            created_by=self._made_by,
            updated_at=now,
        )
        sealed = self._sealer.seal(self._secret)
        if before is None:
            self._store.add(channel, sealed)
            return
        # A disabled channel, and one with a new address, starts without failures.
        if before.enabled and before.mark == channel.mark:
            channel = replace(channel, failures=before.failures, refusals=before.refusals)
        self._store.replace(channel, before, sealed)
