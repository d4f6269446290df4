"""The nodes in the database: their last reports, their heads, and their drains."""

import zlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import clean, maybe_time, read_fields, to_seconds, to_time
from api.db.tables import nodes
from api.domain.access.audit import note_change
from api.domain.machines.node import Drain, NodeLocation, NodeRecord, NodeRole
from api.errors import NodeNameTaken, NodeNotFound

#: The largest report that is read, in bytes.
MOST_REPORT_BYTES = 2**22

# With a lock, so that a concurrent drain takes effect either before or after the start of a task.
_DRAINED = select(nodes.c.drained_at).where(nodes.c.name == bindparam("node")).with_for_update(read=True)

# Built once, because heads execute these every few seconds.
_SHOWN = select(*[column for column in nodes.c if column.name != "report"])
_ALL = _SHOWN.order_by(nodes.c.first_seen, nodes.c.name)
_IS_NAMED = nodes.c.name == bindparam("of_name")
_ONE = _SHOWN.where(_IS_NAMED).with_for_update()
_REPORTS = select(nodes.c.name, nodes.c.report).where(nodes.c.name.in_(bindparam("of_names", expanding=True)))
_ADD, _CHANGE = insert(nodes), update(nodes).where(_IS_NAMED)
_NOTE_HEAD = _CHANGE.values(first_seen=func.coalesce(nodes.c.first_seen, bindparam("seen_at")), role=NodeRole.ALL)


#: The values in a node's row that change with each report or heartbeat: the serial number and the writer's time.
RowMark = tuple[int | None, datetime | None]


class FleetStore:
    """The table of nodes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> dict[str, tuple[NodeRecord, int | None]]:
        """Return every node by name, with the serial number of its last report, or None without one."""
        with self._database.read() as connection:
            return {row.name: (_read(row), row.report_serial) for row in connection.execute(_ALL)}

    def reports(self, names: Collection[str]) -> Mapping[str, bytes]:
        """Return the last reports of these nodes."""
        with self._database.read() as connection:
            rows = connection.execute(_REPORTS, {"of_names": list(names)})
            return {row.name: _unpack(row.report) for row in rows if row.report is not None}

    def note_report(
        self, node: NodeRecord, place: NodeLocation, report: bytes, now: datetime, silent: RowMark | None = None
    ) -> RowMark:
        """Store the report of the node at this location, and return the new mark of its row.

        Raises NodeNameTaken if the row belongs to another program or a head. That is ignored if the row's mark is
        `silent`, which means that the caller has seen it unchanged for long. Clocks of servers are not compared.
        """
        try:
            return self._note_report(node, place, report, now, silent)
        except IntegrityError:
            # Its first report went to two servers at the same time.
            return self._note_report(node, place, report, now, silent)

    def _note_report(
        self, node: NodeRecord, place: NodeLocation, report: bytes, now: datetime, silent: RowMark | None
    ) -> RowMark:
        seconds = to_seconds(now)
        with self._database.write(is_audited=False) as connection:
            row = connection.execute(_ONE, {"of_name": node.name}).one_or_none()
            if row is not None and (row.report_serial, maybe_time(row.last_seen)) != silent:
                refuse_name(_read(row), place)
            serial = ((None if row is None else row.report_serial) or 0) + 1
            values = {
                "machine": place.machine,
                "role": NodeRole.NODE,
                "host": clean(place.host),
                "port": place.port,
                "started": place.started,
                "version": node.version,
                "clock_offset": node.clock_offset,
                "last_seen": seconds,
                "left_at": None if node.left_at is None else seconds,
                "report": zlib.compress(report, 1),
                "report_serial": serial,
            }
            if row is None:
                connection.execute(_ADD, {"name": node.name, "first_seen": seconds, **values})
            else:
                first = seconds if row.first_seen is None else row.first_seen
                connection.execute(_CHANGE, {"of_name": node.name, "first_seen": first, **values})
        return serial, to_time(seconds)

    def note_head(self, name: str, place: NodeLocation, version: str, gpus: int, now: datetime) -> None:
        """Store a heartbeat of the head of this name, with the number of its GPUs."""
        seconds = to_seconds(now)
        values = {
            "of_name": name,
            "host": clean(place.host),
            "port": place.port,
            "started": place.started,
            "version": version,
            "seen_at": seconds,
            "last_seen": seconds,
            "left_at": None,
            "report": zlib.compress(b'{"gpus": %d}' % gpus),
        }
        with self._database.write(is_audited=False) as connection:
            connection.execute(_NOTE_HEAD, values)

    def drain(self, name: str, drain: Drain) -> None:
        """Mark a node as drained. Raises NodeNotFound."""
        self._change(name, drained_at=to_seconds(drain.since), drain_reason=clean(drain.reason), drained_by=drain.by)

    def undrain(self, name: str) -> None:
        """Remove the drain of a node. Raises NodeNotFound."""
        self._change(name, drained_at=None, drain_reason=None, drained_by=None)

    def _change(self, name: str, **values: Any) -> None:
        with self._database.write() as connection:
            row = _find(connection, name)
            connection.execute(_CHANGE, {"of_name": name, **values})
            before = {"drain_reason": row.drain_reason, "drained_by": row.drained_by}
            after = {key: values[key] for key in before}
            note_change(about=name, before=before, after=after)

    def forget(self, name: str) -> None:
        """Remove a node. Raises NodeNotFound."""
        with self._database.write() as connection:
            row = _find(connection, name)
            connection.execute(delete(nodes).where(_IS_NAMED), {"of_name": name})
            note_change(about=name, before={"host": row.host, "role": row.role})


def refuse_name(known: NodeRecord, place: NodeLocation) -> None:
    """Raise NodeNameTaken if the known node, which is not silent, is another program than that at this location."""
    if known.place is None or known.last_seen is None or known.left_at is not None or known.place.is_at == place.is_at:
        return
    raise NodeNameTaken(
        f'The name "{known.name}" belongs to a {"head" if known.role is NodeRole.ALL else "node"} on '
        f"{known.place}, which reported a moment ago. Set another NODE_NAME on {place}.",
        data={"host": known.place.host, "port": known.place.port, "last_seen": known.last_seen},
    )


def is_drained(connection: Connection, name: str) -> bool:
    """Return whether a node is drained, within the transaction that would start a task there."""
    return connection.scalar(_DRAINED, {"node": name}) is not None


def _unpack(report: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(report, MOST_REPORT_BYTES)
    except zlib.error:
        return b""


def _find(connection: Connection, name: str) -> Row[Any]:
    row = connection.execute(_ONE, {"of_name": name}).one_or_none()
    if row is None:
        raise NodeNotFound(f'No node is called "{name[:80]}".')
    return row


def _read(row: Row[Any]) -> NodeRecord:
    drain = None
    if row.drained_at is not None:
        drain = Drain(to_time(row.drained_at), row.drain_reason or "", row.drained_by or "")
    place = None
    if row.host is not None and row.port is not None:
        place = NodeLocation(row.machine, row.host, row.port, row.started or "")
    return read_fields(NodeRecord, row, place=place, drain=drain)
