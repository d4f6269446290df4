"""The servers that share a database: each keeps its row fresh while it lives."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update

from api.models.server import KeptServer
from api.storage.database import Database
from api.storage.rows import clean, to_seconds, to_time
from api.storage.tables import leadership, servers

_ALL = select(servers).order_by(servers.c.started_at, servers.c.server_id)
_SIGN = update(servers).where(servers.c.server_id == bindparam("own")).values(last_seen=bindparam("seconds"))
_LEADS = select(leadership.c.scope, leadership.c.holder).where(leadership.c.holder != "")


class ServerStore:
    """The servers as rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[KeptServer]:
        """All that have given a sign and not said that they end, oldest first."""
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(_ALL)]

    def leaders(self) -> dict[str, str]:
        """The name of whoever leads, or led last, by scope."""
        with self._database.read() as connection:
            return {row.scope: row.holder for row in connection.execute(_LEADS)}

    def sign(self, own: KeptServer) -> None:
        """Keeps that this server is there."""
        seconds = to_seconds(own.last_seen)
        with self._database.write(is_audited=False) as connection:
            if connection.execute(_SIGN, {"own": own.server_id, "seconds": seconds}).rowcount == 0:
                connection.execute(insert(servers).values(_row(own)))

    def remove(self, server_id: str) -> None:
        """Forgets a server that ends."""
        with self._database.write(is_audited=False) as connection:
            connection.execute(delete(servers).where(servers.c.server_id == server_id))

    def remove_silent(self, before: datetime) -> None:
        """Forgets those that have given no sign since then."""
        with self._database.write(is_audited=False) as connection:
            connection.execute(delete(servers).where(servers.c.last_seen < to_seconds(before)))


def _row(server: KeptServer) -> dict[str, Any]:
    return {
        "server_id": server.server_id,
        "process": clean(server.process),
        "node": clean(server.node),
        "host": clean(server.host),
        "port": server.port,
        "pid": server.pid,
        "version": server.version,
        "started_at": to_seconds(server.started_at),
        "last_seen": to_seconds(server.last_seen),
    }


def _read(row: Row[Any]) -> KeptServer:
    return KeptServer(
        server_id=row.server_id,
        process=row.process,
        node=row.node,
        host=row.host,
        port=row.port,
        pid=row.pid,
        version=row.version,
        started_at=to_time(row.started_at),
        last_seen=to_time(row.last_seen),
    )
