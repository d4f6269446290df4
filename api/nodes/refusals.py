"""Which keys may report for a node, and rejected reports, which the head shows to administrators."""

import logging
import re

from api.domain.access import Permission, current_principal
from api.domain.node import NODE_NAME, NodeWarning, fold_name
from api.domain.reason import Reason
from api.errors import Forbidden, Invalid, ServiceError
from api.util.clock import Clock
from api.util.terminal_text import show

logger = logging.getLogger(__name__)

#: Seconds for which a rejection is shown.
TOLD_SECONDS = 60.0

#: Seconds between two log lines about rejected reports of one node.
LOGGED_SECONDS = 600.0

#: The limit of a rejection's reason, in characters.
_MAX_REASON = 300


def check_name(name: str) -> None:
    """Check a node's name. Raises Invalid for a malformed name, Forbidden if the key is for another node."""
    if re.fullmatch(NODE_NAME, name) is None:
        raise Invalid(f'"{ascii(name[:80])[1:-1]}" is not a node name. Use up to 63 letters, digits, "." and "-".')
    principal = current_principal.get()
    # A node's key is for one machine. Administrators may report for all.
    is_administrator = Permission.SYSTEM_WRITE in principal.permissions
    if not is_administrator and fold_name(principal.user_id) != fold_name(name):
        raise Forbidden(
            f'This key is for the node "{principal.user_id}". Create one for "{name}" on the head: '
            f"python -m api key new --name {name} --permissions nodes:report"
        )


class Refusals:
    """The recently rejected reports, by the node's name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: dict[str, tuple[float, Reason]] = {}
        self._logged_at: dict[str, float] = {}

    def note(self, name: str, error: ServiceError, is_known: bool = True) -> None:
        """Record why a report of this node was rejected, and log it at most every `LOGGED_SECONDS`.

        Unknown names share one log limit, because any client can invent names.
        """
        first = error.mistakes[0] if error.mistakes else None
        why = error.detail if first is None else f"{error.detail} {first.pointer} {first.message}"
        message = Reason.of(
            "a report with its name was rejected: {why}", "report_refused", why=show(why, _MAX_REASON).rstrip(".")
        )
        now, key = self._clock.monotonic(), name if is_known else ""
        if now - self._logged_at.get(key, float("-inf")) >= LOGGED_SECONDS:
            self._logged_at[key] = now
            logger.warning("node %s: %s", name, message.text)
        if is_known:
            self._latest[name] = now, message

    def warn(self, name: str) -> tuple[NodeWarning, ...]:
        """Return the warnings for a node."""
        at, message = self._latest.get(name, (float("-inf"), None))
        if message is None or self._clock.monotonic() - at > TOLD_SECONDS:
            return ()
        return (NodeWarning(message.said.code, message.text, message.said),)
