"""The last report of each node in memory and in the database; a replayed one must not make a dead node look alive."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from api.domain.machines.node import SILENT_SECONDS, MachineReport, NodeRecord
from api.domain.machines.shared_storage import StorageReport
from api.errors import Invalid
from api.gpus.other_machines import NodePart
from api.nodes.fleet_store import RowMark
from api.nodes.report_check import read_report
from api.nodes.wire import encode_report, take_report

#: The number of boots of a machine that are remembered; the oldest are forgotten first.
MOST_ERAS = 64


logger = logging.getLogger(__name__)

_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class ReportPosition:
    """The newest position of a node's reports. Clocks of two machines are not compared.

    An era is a boot of the machine, with the uptime as position. For an older node, it is a start of its program, with
    the number of the sweep as position. `latest_sent` is the latest time by the node's own clock.
    """

    eras: Mapping[str, float]
    latest_sent: float

    @classmethod
    def of(cls, report: MachineReport) -> "ReportPosition":
        """Return the position after a node's first report."""
        era, position = _position(report)
        return cls({era: position}, _sent(report))

    @property
    def latest(self) -> tuple[str, float]:
        """The latest era and its position."""
        return list(self.eras.items())[-1]

    def after(self, report: MachineReport) -> "ReportPosition | None":
        """Return the position after this report; None if the report is not newer than those before.

        Either the uptime or the clock must advance. So neither a clock that was set back nor a machine that was
        restored from an image is rejected.
        """
        era, position = _position(report)
        known, sent = self.eras.get(era, float("-inf")), _sent(report)
        if position <= known and sent <= self.latest_sent:
            return None
        eras = {each: at for each, at in self.eras.items() if each != era} | {era: max(position, known)}
        return ReportPosition(dict(list(eras.items())[-MOST_ERAS:]), max(sent, self.latest_sent))

    def is_ahead_of(self, other: "ReportPosition") -> bool:
        """Return whether the last report of the other came before the last of this one."""
        era, position = other.latest
        return era in self.eras and position < self.eras[era]


def _position(report: MachineReport) -> tuple[str, float]:
    if report.boot and report.uptime is not None:
        return report.boot, report.uptime
    return f"started {report.place.started}", float(report.sequence)


def _sent(report: MachineReport) -> float:
    return float("-inf") if report.sent_at is None else report.sent_at


def read_position(stored: Any, report: MachineReport) -> ReportPosition:
    """Return the position that was stored with a report. Older servers stored none."""
    try:
        eras = {str(era): float(at) for era, at in stored["eras"].items()}
        return ReportPosition(eras or ReportPosition.of(report).eras, float(stored["latest_sent"]))
    except (TypeError, KeyError, ValueError, AttributeError):
        return ReportPosition.of(report)


@dataclass(slots=True)
class LastReport:
    """The latest report of a node, and how new it is."""

    part: NodePart
    known: NodeRecord
    position: ReportPosition
    serial: int | None = None  #: of the stored report; `part` is at least as new
    stored_at: float = float("-inf")  #: monotonic
    storage: StorageReport | None = None  #: the node's view of the shared storage

    def has_overtaken(self, later: "LastReport") -> bool:
        """Return whether the other report, which arrives later, was sent earlier."""
        if self.position.is_ahead_of(later.position):
            return True
        place, own = later.known.place, self.known.place
        if place is None or own is None or place.started != own.started:
            return False
        if self.part.has_left:
            return not later.part.has_left
        return later.part.snapshot.sequence < self.part.snapshot.sequence


def encode_stored(report: MachineReport, position: ReportPosition, disputed: Collection[str]) -> bytes:
    """Return the stored form of a report. `disputed` has its UUIDs that another machine had before."""
    # Xid errors are recorded already. A head that reads them here would count them again.
    fields = orjson.loads(encode_report(replace(report, xids=())))
    return orjson.dumps({**fields, "freshness": position, "disputed": sorted(disputed)})


def read_stored(
    node: NodeRecord, body: bytes, serial: int | None, since: float | None, monotonic: float
) -> LastReport | None:
    """Return the report that another head, or this one before a restart, stored; None if it is unreadable.

    It was stored after the monotonic time `since`. If that is None, the age of the report is unknown, and so is the
    node until its next report.
    """
    try:
        fields = orjson.loads(body)
        report = read_report(fields, node.name)
    except (Invalid, ValueError):
        logger.warning("a stored report of a node cannot be read", extra={"node": node.name})
        return None
    received_at = monotonic if since is None else since
    part = take_report(node.name, report, received_at, node.last_seen or _NEVER, since is not None)
    disputed = frozenset(uuid for uuid in fields.get("disputed") or () if isinstance(uuid, str))
    part = replace(part, has_left=node.left_at is not None, disputed=disputed)
    return LastReport(part, node, read_position(fields.get("freshness"), report), serial, received_at, report.storage)


class RowWatch:
    """Remembers how long each node's row has been unchanged, by this server's monotonic clock."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[RowMark, float]] = {}

    def note(self, name: str, mark: RowMark, now: float) -> None:
        """Record the mark of a row that was read or written at the monotonic time `now`."""
        if self._rows.get(name, (None, 0.0))[0] != mark:
            self._rows[name] = mark, now

    def keep_only(self, names: Collection[str]) -> None:
        """Forget all rows except those of these names."""
        self._rows = {name: row for name, row in self._rows.items() if name in names}

    def find_silent(self, name: str, now: float) -> RowMark | None:
        """Return the mark of the row if its node counts as silent; else None."""
        mark, since = self._rows.get(name, (None, now))
        return mark if now - since > SILENT_SECONDS else None
