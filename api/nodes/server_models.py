"""Servers: the processes that answer requests. Several may share a database."""

from dataclasses import dataclass
from datetime import datetime

from api.domain.machines.node import NodeStatus


@dataclass(frozen=True, slots=True)
class StoredServer:
    """A server in the database. Times are by its own clock."""

    server_id: str
    process: str  #: the value of `ServerIdentity.process`
    node: str
    host: str
    port: int | None  #: None: any free port
    pid: int
    version: str
    started_at: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server in `/system/servers`."""

    server_id: str  #: of this process; it changes with a restart
    node: str
    host: str  #: address that it listens on
    port: int | None  #: None: any free port
    pid: int
    version: str
    state: NodeStatus  #: up, unknown (silent, but may still run), or down (its process has ended)
    is_this_server: bool
    leads: tuple[str, ...]  #: the work that it does for all servers: queue, attempts, alerts, machine_alerts
    started_at: datetime
    last_seen: datetime
    silent_seconds: float | None  #: since its latest heartbeat, rounded
