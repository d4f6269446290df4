"""Parse slurmrestd's data about nodes. Unreadable values are omitted; nothing here raises."""

import re
from dataclasses import dataclass

from api.domain.machines.reading import MAX_GPUS
from api.executors.slurm.jobs import indices
from api.util.text.terminal_text import show

_DOWN = frozenset({"DOWN", "NOT_RESPONDING", "POWERED_DOWN", "POWERING_DOWN", "FAIL", "FUTURE", "UNKNOWN", "ERROR"})
_DRAINING = frozenset({"DRAIN", "DRAINED", "DRAINING", "MAINTENANCE", "RESERVED", "REBOOT_REQUESTED"})
_COUNT = re.compile(r"gpu(?::[^:(,]+)?:(\d{1,4})", re.ASCII)

#: Limits for one node: characters of a text, characters of a GPU list, and items of a list.
_MOST_TEXT, _MOST_LIST, _MOST_NAMES = 300, 65_536, 1_000


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node of the cluster."""

    name: str
    state: str  #: up, draining, down or unknown
    says: tuple[str, ...]  #: the same in Slurm's own terms
    reason: str | None
    partitions: tuple[str, ...]
    features: tuple[str, ...]
    gpus: int
    used: frozenset[int] | None  #: the GPUs that jobs use; None if Slurm reports only their number


def parse_node(given: object) -> NodeReport | None:
    """Return the node of an element, or None without a name."""
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(name, str) or not name or len(name) > _MOST_TEXT:
        return None
    used = str(given.get("gres_used") or "")[:_MOST_LIST]
    reason, states = given.get("reason"), _texts(given.get("state"))
    return NodeReport(
        name=show(name),
        state=_state(states),
        says=states,
        reason=show(reason, _MOST_TEXT) if isinstance(reason, str) and reason else None,
        partitions=_texts(given.get("partitions")),
        features=_texts(given.get("active_features")),
        gpus=_count(str(given.get("gres") or "")[:_MOST_LIST]),
        used=indices(used) if "(IDX:" in used else None,
    )


def _state(states: tuple[str, ...]) -> str:
    if not _DOWN.isdisjoint(states):
        return "down"
    if not _DRAINING.isdisjoint(states):
        return "draining"
    return "up" if not {"IDLE", "MIXED", "ALLOCATED", "COMPLETING", "PLANNED"}.isdisjoint(states) else "unknown"


def _count(gres: str) -> int:
    return min(sum(int(number) for number in _COUNT.findall(gres)), MAX_GPUS)


def _texts(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        given = given.split(",")
    names = given[:_MOST_NAMES] if isinstance(given, list) else []
    return tuple(show(name, _MOST_TEXT) for name in names if isinstance(name, str) and name)
