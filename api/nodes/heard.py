"""What this process knows of another machine: what it reported last, and how that is stored for other heads."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from api.domain.node import SILENT_SECONDS, KeptNode, MachineReport
from api.domain.shared_storage import ToldStorage
from api.errors import Invalid
from api.gpus.other_machines import NodePart
from api.nodes.fleet_store import RowMark
from api.nodes.freshness import Freshness, read_freshness
from api.nodes.report_check import read_report
from api.nodes.wire import encode_report, take_report

logger = logging.getLogger(__name__)

_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class Heard:
    """The latest report of a node, with what shows how new it is."""

    part: NodePart
    known: KeptNode
    fresh: Freshness
    serial: int | None = None  #: of the report in the database that `part` is at least as new as
    kept_at: float = float("-inf")  #: monotonic
    storage: ToldStorage | None = None  #: what it told of the storage that it shares

    def has_overtaken(self, later: "Heard") -> bool:
        """Whether what comes now was told before what is known: on its way one report may overtake another."""
        if self.fresh.is_ahead_of(later.fresh):
            return True
        place, own = later.known.place, self.known.place
        if place is None or own is None or place.started != own.started:
            return False
        if self.part.has_left:
            return not later.part.has_left
        return later.part.snapshot.sequence < self.part.snapshot.sequence


def parse_report(told: Any, name: str) -> MachineReport:
    """Read a node's report. Raises Invalid."""
    return read_report(told, name)


def encode_kept(report: MachineReport, fresh: Freshness, disputed: Collection[str]) -> bytes:
    """Return what the database stores of a report. `disputed`: its UUIDs that were another machine's before."""
    # Xid errors have been noted: a head that reads this later would count them again.
    told = orjson.loads(encode_report(replace(report, xids=())))
    return orjson.dumps({**told, "freshness": fresh, "disputed": sorted(disputed)})


def read_kept(node: KeptNode, body: bytes, serial: int | None, since: float | None, monotonic: float) -> Heard | None:
    """Read what another head, or this one before a restart, stored of a node. None when that is unreadable.

    `since`: a monotonic time after which it was stored; None when nothing shows that. Then the node counts as unknown
    until it is heard, as no other clock tells how old the report is.
    """
    try:
        told = orjson.loads(body)
        report = parse_report(told, node.name)
    except (Invalid, ValueError):
        logger.warning("what a node told another head cannot be read", extra={"node": node.name})
        return None
    heard = monotonic if since is None else since
    part = take_report(node.name, report, heard, node.last_seen or _NEVER, since is not None)
    disputed = frozenset(uuid for uuid in told.get("disputed") or () if isinstance(uuid, str))
    part = replace(part, has_left=node.left_at is not None, disputed=disputed)
    return Heard(part, node, read_freshness(told.get("freshness"), report), serial, heard, report.storage)


class RowWatch:
    """Remembers since when each node's row is unchanged, by this server's monotonic clock."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[RowMark, float]] = {}

    def note(self, name: str, mark: RowMark, now: float) -> None:
        """Take a row as it was read or written at the monotonic time `now`."""
        if self._rows.get(name, (None, 0.0))[0] != mark:
            self._rows[name] = mark, now

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the rows of all other names."""
        self._rows = {name: row for name, row in self._rows.items() if name in names}

    def find_silent(self, name: str, now: float) -> RowMark | None:
        """Return the mark of a row that has not changed for so long that its node counts as silent; else None."""
        mark, since = self._rows.get(name, (None, now))
        return mark if now - since > SILENT_SECONDS else None
