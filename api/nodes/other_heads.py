"""Servers with ROLE=all on other machines that use the same database: they do not tell each other of their GPUs."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from api.domain.node import KeptNode, NodeRole, NodeWarning
from api.domain.reason import Reason
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Seconds for which one counts as there after its row has changed: it is changed every 5 s while others are there.
THERE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Head:
    mark: object  #: when it says that it was there last, by its own clock, which is never compared with ours
    changed_at: float  #: monotonic; when that changed before our eyes
    gpus: int


class OtherHeads:
    """Which of them are there. One thread looks; anybody may ask."""

    def __init__(self, own: str, clock: Clock, read: Callable[[list[str]], Mapping[str, bytes]]) -> None:
        """`own` is this machine; `read` gives what heads have left in their rows, by name."""
        self._own = own
        self._clock = clock
        self._read = read
        self._heads: Mapping[str, _Head] | None = None

    def look(self, kept: Mapping[str, KeptNode]) -> None:
        """Takes up what the database knows of machines now."""
        now, before = self._clock.monotonic(), self._heads
        rows = {name: node for name, node in kept.items() if name != self._own and node.role is NodeRole.ALL}
        marks = {name: (node.last_seen, node.place) for name, node in rows.items()}
        changed = [name for name, mark in marks.items() if before is None or _mark(before, name) != mark]
        told = self._read(changed) if changed else {}
        known = dict(before or {})
        for name in changed:
            # What was there at the first look may have ended long ago.
            at = float("-inf") if before is None else now
            known[name] = _Head(marks[name], at, _count(told.get(name)))
            if at == now and name not in self.with_gpus and known[name].gpus:
                logger.warning("%s", _words(name, known[name].gpus).text)
        self._heads = {name: head for name, head in known.items() if name in rows}

    @property
    def are_there(self) -> bool:
        """Whether another head is there."""
        return bool(self._there())

    @property
    def with_gpus(self) -> dict[str, int]:
        """Those that have GPUs, with how many."""
        return {name: head.gpus for name, head in self._there().items() if head.gpus}

    def _there(self) -> dict[str, _Head]:
        now = self._clock.monotonic()
        return {name: head for name, head in (self._heads or {}).items() if now - head.changed_at <= THERE_SECONDS}

    def warn(self) -> tuple[NodeWarning, ...]:
        """What is to be said of them."""
        said = [_words(name, gpus) for name, gpus in self.with_gpus.items()]
        return tuple(NodeWarning(words.said.code, words.text, words.said) for words in said)


def _mark(heads: Mapping[str, _Head], name: str) -> object:
    return heads[name].mark if name in heads else None


def _count(told: bytes | None) -> int:
    try:
        found = orjson.loads(told or b"{}").get("gpus", 0)
    except (ValueError, AttributeError):
        return 0
    return found if isinstance(found, int) else 0


def _words(node: str, gpus: int) -> Reason:
    return Reason.of(
        "{node}, too, has a server with ROLE=all on this database: its {count} GPUs are not shown here, "
        "and the queue uses those of one machine only; run it there with ROLE=node",
        "other_server",
        node=node,
        count=gpus,
    )
