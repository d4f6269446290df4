"""Reads what slurmrestd says of nodes. What cannot be understood is left out; nothing here raises."""

import re
from collections.abc import Mapping
from typing import Any

from api.executors.slurm.jobs import indices
from api.utils.frozen import frozen

_DOWN = frozenset({"DOWN", "NOT_RESPONDING", "POWERED_DOWN", "POWERING_DOWN", "FAIL", "FUTURE", "UNKNOWN", "ERROR"})
_DRAINING = frozenset({"DRAIN", "DRAINED", "DRAINING", "MAINTENANCE", "RESERVED", "REBOOT_REQUESTED"})
_COUNT = re.compile(r"gpu(?::[^:(,]+)?:(\d{1,4})", re.ASCII)


@frozen
class NodeReport:
    """A machine of the cluster."""

    name: str
    state: str  #: up, draining, down or unknown
    says: tuple[str, ...]  #: the same in Slurm's own words
    reason: str | None
    partitions: tuple[str, ...]
    features: tuple[str, ...]
    gpus: int
    used: frozenset[int] | None  #: the GPUs that jobs have; None where Slurm tells only how many
    used_count: int


def parse_nodes(answer: Mapping[str, Any]) -> tuple[NodeReport, ...]:
    """The nodes of an answer."""
    given = answer.get("nodes")
    nodes = [_node(each) for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return tuple(node for node in nodes if node is not None)


def _node(given: Mapping[str, Any]) -> NodeReport | None:
    name, used = given.get("name"), str(given.get("gres_used") or "")
    if not isinstance(name, str) or not name:
        return None
    reason, states = given.get("reason"), _texts(given.get("state"))
    return NodeReport(
        name=name,
        state=_state(states),
        says=states,
        reason=reason[:300] if isinstance(reason, str) and reason else None,
        partitions=_texts(given.get("partitions")),
        features=_texts(given.get("active_features")),
        gpus=_count(str(given.get("gres") or "")),
        used=indices(used) if "(IDX:" in used else None,
        used_count=_count(used),
    )


def _state(states: tuple[str, ...]) -> str:
    if not _DOWN.isdisjoint(states):
        return "down"
    if not _DRAINING.isdisjoint(states):
        return "draining"
    return "up" if not {"IDLE", "MIXED", "ALLOCATED", "COMPLETING", "PLANNED"}.isdisjoint(states) else "unknown"


def _count(gres: str) -> int:
    return sum(int(number) for number in _COUNT.findall(gres))


def _texts(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        return tuple(given.split(",")) if given else ()
    return tuple(text for text in given if isinstance(text, str)) if isinstance(given, list) else ()
