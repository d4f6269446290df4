"""Servers with ROLE=all on other machines with the same database. Their GPUs are not shared."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from api.domain.machines.node import NodeRecord, NodeRole, NodeWarning
from api.domain.reason import Reason
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Seconds after a change of its row for which a head counts as present. Heads update their rows every 5 s.
PRESENT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Head:
    mark: object  #: its heartbeat by its own clock, which is never compared with this server's
    changed_at: float  #: when this server saw the heartbeat change, monotonic
    gpus: int


class OtherHeads:
    """The other heads that are present. One thread calls `refresh`; the rest is thread-safe."""

    def __init__(self, own: str, clock: Clock, read: Callable[[list[str]], Mapping[str, bytes]]) -> None:
        """`own` is this machine's name; `read` returns the reports in rows of heads, by name."""
        self._own = own
        self._clock = clock
        self._read = read
        self._heads: Mapping[str, _Head] | None = None

    def refresh(self, stored: Mapping[str, NodeRecord]) -> None:
        """Compare the rows of the database with those before."""
        now, before = self._clock.monotonic(), self._heads
        rows = {name: node for name, node in stored.items() if name != self._own and node.role is NodeRole.ALL}
        marks = {name: (node.last_seen, node.place) for name, node in rows.items()}
        changed = [name for name, mark in marks.items() if before is None or _mark(before, name) != mark]
        reports = self._read(changed) if changed else {}
        known = dict(before or {})
        for name in changed:
            # A row at the first look may be old.
            at = float("-inf") if before is None else now
            known[name] = _Head(marks[name], at, _count(reports.get(name)))
            if at == now and name not in self.with_gpus and known[name].gpus:
                logger.warning("%s", _reason(name, known[name].gpus).text)
        self._heads = {name: head for name, head in known.items() if name in rows}

    @property
    def any_present(self) -> bool:
        """Whether another head is present."""
        return bool(self._present())

    @property
    def with_gpus(self) -> dict[str, int]:
        """The GPU counts of the present heads with GPUs."""
        return {name: head.gpus for name, head in self._present().items() if head.gpus}

    def _present(self) -> dict[str, _Head]:
        now = self._clock.monotonic()
        return {name: head for name, head in (self._heads or {}).items() if now - head.changed_at <= PRESENT_SECONDS}

    def warn(self) -> tuple[NodeWarning, ...]:
        """Return a warning for each present head with GPUs."""
        found = [_reason(name, gpus) for name, gpus in self.with_gpus.items()]
        return tuple(NodeWarning(reason.said.code, reason.text, reason.said) for reason in found)


def _mark(heads: Mapping[str, _Head], name: str) -> object:
    return heads[name].mark if name in heads else None


def _count(report: bytes | None) -> int:
    try:
        found = orjson.loads(report or b"{}").get("gpus", 0)
    except (ValueError, AttributeError):
        return 0
    return found if isinstance(found, int) else 0


def _reason(node: str, gpus: int) -> Reason:
    return Reason.of(
        "{node} also has a server with ROLE=all on this database: its {count} GPUs are not shown here, "
        "and the queue uses the GPUs of one machine only. Run the server on {node} with ROLE=node",
        "other_server",
        node=node,
        count=gpus,
    )
