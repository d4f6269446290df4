"""Who may tell of a node, and whose reports were refused: an administrator looks at the head, not into a node's log."""

import logging
import re

from api.domain.access import Permission, current_principal
from api.domain.node import NODE_NAME, NodeWarning, fold_name
from api.domain.reason import Reason
from api.errors import Forbidden, Invalid, ServiceError
from api.util.clock import Clock
from api.util.terminal_text import show

logger = logging.getLogger(__name__)

#: Seconds for which a refusal is told.
TOLD_SECONDS = 60.0

#: Seconds between two lines in the log about refused reports of one node.
LOGGED_SECONDS = 600.0

#: The most characters of what was wrong.
_MOST_SAID = 300


def check_name(name: str) -> None:
    """Raises Invalid for what is no name of a node, and Forbidden for one that a key does not speak for."""
    if re.fullmatch(NODE_NAME, name) is None:
        raise Invalid(f'"{ascii(name[:80])[1:-1]}" is no name for a node: up to 63 letters, digits, "." and "-".')
    who = current_principal.get()
    # The key of a node is one machine's. Only an administrator's speaks for all.
    is_administrator = Permission.SYSTEM_WRITE in who.permissions
    if not is_administrator and fold_name(who.user_id) != fold_name(name):
        raise Forbidden(
            f'This key is for the node "{who.user_id}": make one for "{name}" on the head, by '
            f"python -m api key new --name {name} --permissions nodes:report"
        )


class Refusals:
    """What was refused lately, by the node's name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: dict[str, tuple[float, Reason]] = {}
        self._logged_at: dict[str, float] = {}

    def note(self, name: str, error: ServiceError, is_known: bool = True) -> None:
        """Keeps why a report of this node was refused, and logs it once in a while.

        Those of all names that are not known count as one node's: anybody can invent names.
        """
        first = error.mistakes[0] if error.mistakes else None
        why = error.detail if first is None else f"{error.detail} {first.pointer} {first.message}"
        words = Reason.of(
            "a report by its name was refused: {why}", "report_refused", why=show(why, _MOST_SAID).rstrip(".")
        )
        now, key = self._clock.monotonic(), name if is_known else ""
        if now - self._logged_at.get(key, float("-inf")) >= LOGGED_SECONDS:
            self._logged_at[key] = now
            logger.warning("node %s: %s", name, words.text)
        if is_known:
            self._latest[name] = now, words

    def warn(self, name: str) -> tuple[NodeWarning, ...]:
        """What is to be said of a node for it."""
        at, words = self._latest.get(name, (float("-inf"), None))
        if words is None or self._clock.monotonic() - at > TOLD_SECONDS:
            return ()
        return (NodeWarning(words.said.code, words.text, words.said),)
