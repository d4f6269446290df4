"""What is known of the machines that share a database: who was heard when, what each told last, which are drained."""

import zlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import clean, maybe_time, to_seconds, to_time
from api.db.tables import nodes
from api.domain.audit import note_change
from api.domain.node import Drain, KeptNode, NodePlace, NodeRole
from api.errors import NodeNameTaken, NodeNotFound

#: The most bytes of a report that are read.
MOST_REPORT_BYTES = 2**22

# Locked: who drains it meanwhile is answered after what is started now has begun, or before.
_DRAINED = select(nodes.c.drained_at).where(nodes.c.name == bindparam("node")).with_for_update(read=True)

# Made once: heads ask and write these every few seconds for as long as they run.
_SHOWN = select(*[column for column in nodes.c if column.name != "report"])
_ALL = _SHOWN.order_by(nodes.c.first_seen, nodes.c.name)
_IS_NAMED = nodes.c.name == bindparam("of_name")
_ONE = _SHOWN.where(_IS_NAMED).with_for_update()
_REPORTS = select(nodes.c.name, nodes.c.report).where(nodes.c.name.in_(bindparam("of_names", expanding=True)))
_ADD, _CHANGE = insert(nodes), update(nodes).where(_IS_NAMED)
_NOTE_HEAD = _CHANGE.values(first_seen=func.coalesce(nodes.c.first_seen, bindparam("seen_at")), role=NodeRole.ALL)


#: What changes with each report or sign of life in a node's row: the serial number, and the writer's time.
RowMark = tuple[int | None, datetime | None]


class FleetStore:
    """The nodes as rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> dict[str, tuple[KeptNode, int | None]]:
        """Every node by name, with the serial number of what it told last; None: it has told nothing."""
        with self._database.read() as connection:
            return {row.name: (_read(row), row.report_serial) for row in connection.execute(_ALL)}

    def reports(self, names: Collection[str]) -> Mapping[str, bytes]:
        """What these nodes told last."""
        with self._database.read() as connection:
            rows = connection.execute(_REPORTS, {"of_names": list(names)})
            return {row.name: _unpack(row.report) for row in rows if row.report is not None}

    def note_report(
        self, heard: KeptNode, place: NodePlace, report: bytes, now: datetime, silent: RowMark | None = None
    ) -> RowMark:
        """Keeps what the node at this place told, and returns the new mark of its row.

        Raises NodeNameTaken when the row is of another program, or a head, unless its mark is `silent`: the caller has
        seen that one unchanged for long. The clocks of two servers are not compared.
        """
        try:
            return self._note_report(heard, place, report, now, silent)
        except IntegrityError:
            # It told two servers at once for the first time.
            return self._note_report(heard, place, report, now, silent)

    def _note_report(
        self, heard: KeptNode, place: NodePlace, report: bytes, now: datetime, silent: RowMark | None
    ) -> RowMark:
        seconds = to_seconds(now)
        with self._database.write(is_audited=False) as connection:
            row = connection.execute(_ONE, {"of_name": heard.name}).one_or_none()
            if row is not None and (row.report_serial, maybe_time(row.last_seen)) != silent:
                refuse_name(_read(row), place)
            serial = ((None if row is None else row.report_serial) or 0) + 1
            values = {
                "machine": place.machine,
                "role": NodeRole.NODE,
                "host": clean(place.host),
                "port": place.port,
                "started": place.started,
                "version": heard.version,
                "clock_offset": heard.clock_offset,
                "last_seen": seconds,
                "left_at": None if heard.left_at is None else seconds,
                "report": zlib.compress(report, 1),
                "report_serial": serial,
            }
            if row is None:
                connection.execute(_ADD, {"name": heard.name, "first_seen": seconds, **values})
            else:
                first = seconds if row.first_seen is None else row.first_seen
                connection.execute(_CHANGE, {"of_name": heard.name, "first_seen": first, **values})
        return serial, to_time(seconds)

    def note_head(self, name: str, place: NodePlace, version: str, gpus: int, now: datetime) -> None:
        """Keeps that a head of this name is there, with so many GPUs of its own."""
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
        """Has nothing new started on a node. Raises NodeNotFound."""
        self._change(name, drained_at=to_seconds(drain.since), drain_reason=clean(drain.reason), drained_by=drain.by)

    def undrain(self, name: str) -> None:
        """Lets things be started on a node again. Raises NodeNotFound."""
        self._change(name, drained_at=None, drain_reason=None, drained_by=None)

    def _change(self, name: str, **values: Any) -> None:
        with self._database.write() as connection:
            row = _find(connection, name)
            connection.execute(_CHANGE, {"of_name": name, **values})
            before = {"drain_reason": row.drain_reason, "drained_by": row.drained_by}
            after = {key: values[key] for key in before}
            note_change(about=name, before=before, after=after)

    def forget(self, name: str) -> None:
        """Forgets a node. Raises NodeNotFound."""
        with self._database.write() as connection:
            row = _find(connection, name)
            connection.execute(delete(nodes).where(_IS_NAMED), {"of_name": name})
            note_change(about=name, before={"host": row.host, "role": row.role})


def refuse_name(known: KeptNode, place: NodePlace) -> None:
    """Raises NodeNameTaken when the program at this place may not use the name of the node that is known, which is not
    silent.
    """
    if known.place is None or known.last_seen is None or known.left_at is not None or known.place.is_at == place.is_at:
        return
    raise NodeNameTaken(
        f'The name "{known.name}" belongs to a {"head" if known.role is NodeRole.ALL else "node"} on '
        f"{known.place}, heard a moment ago: give this one, on {place}, a NODE_NAME of its own.",
        data={"host": known.place.host, "port": known.place.port, "last_seen": known.last_seen},
    )


def is_drained(connection: Connection, name: str) -> bool:
    """Whether nothing new may be started on a node; asked within the transaction that would."""
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


def _read(row: Row[Any]) -> KeptNode:
    drain = None
    if row.drained_at is not None:
        drain = Drain(to_time(row.drained_at), row.drain_reason or "", row.drained_by or "")
    place = None
    if row.host is not None and row.port is not None:
        place = NodePlace(row.machine, row.host, row.port, row.started or "")
    return KeptNode(
        name=row.name,
        role=None if row.role is None else NodeRole(row.role),
        place=place,
        version=row.version,
        clock_offset=row.clock_offset,
        first_seen=maybe_time(row.first_seen),
        last_seen=maybe_time(row.last_seen),
        left_at=maybe_time(row.left_at),
        drain=drain,
    )
