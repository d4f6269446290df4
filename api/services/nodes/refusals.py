"""Who may tell of a node, and whose reports were refused: an administrator looks at the head, not into a node's log."""

import re

from api.errors import Forbidden, Invalid, ServiceError
from api.models.access import Permission, current_principal
from api.models.node import NODE_NAME, NodeWarning
from api.models.reason import Reason
from api.utils.clock import Clock
from api.utils.terminal_text import show

#: Seconds for which a refusal is told.
TOLD_SECONDS = 60.0

#: The most characters of what was wrong.
_MOST_SAID = 300


def check_name(name: str) -> None:
    """Raises Invalid for what is no name of a node, and Forbidden for one that a key does not speak for."""
    if re.fullmatch(NODE_NAME, name) is None:
        raise Invalid(f'"{ascii(name[:80])[1:-1]}" is no name for a node: up to 63 letters, digits, "." and "-".')
    who = current_principal.get()
    # A key that may do nothing but tell of GPUs is one machine's: whoever has it speaks for no other.
    if who.permissions == {Permission.NODES_REPORT} and who.user_id.lower() != name.lower():
        raise Forbidden(
            f'This key is for the node "{who.user_id}": make one for "{name}" on the head, by '
            f"python -m api key new --name {name} --permissions nodes:report"
        )


class Refusals:
    """What was refused lately, by the node's name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: dict[str, tuple[float, Reason]] = {}

    def note(self, name: str, error: ServiceError) -> None:
        """Keeps why a report of this node was refused."""
        first = error.mistakes[0] if error.mistakes else None
        why = error.detail if first is None else f"{error.detail} {first.pointer} {first.message}"
        words = Reason.of(
            "a report by its name was refused: {why}", "report_refused", why=show(why, _MOST_SAID).rstrip(".")
        )
        self._latest[name] = self._clock.monotonic(), words

    def warn(self, name: str) -> tuple[NodeWarning, ...]:
        """What is to be said of a node for it."""
        at, words = self._latest.get(name, (float("-inf"), None))
        if words is None or self._clock.monotonic() - at > TOLD_SECONDS:
            return ()
        return (NodeWarning(words.said.code, words.text, words.said),)
