"""Servers: the processes that answer people, of which several may share a database."""

from dataclasses import dataclass
from datetime import datetime

from api.domain.node import NodeStatus


@dataclass(frozen=True, slots=True)
class KeptServer:
    """A server as the database knows it; times are its own clock's."""

    server_id: str
    process: str  #: what tells its process from all others, as `ServerIdentity.process` makes it
    node: str
    host: str
    port: int | None  #: None: any that was free
    pid: int
    version: str
    started_at: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server in `/system/servers`."""

    server_id: str  #: of this process: a server that begins anew has another one
    node: str
    host: str
    port: int | None  #: None: any that was free
    pid: int
    version: str
    state: NodeStatus  #: up, unknown (it is silent: it may live), or down (its process has ended)
    is_this_server: bool
    leads: tuple[str, ...]  #: what it alone does for all: queue, attempts, alerts, machine_alerts
    started_at: datetime
    last_seen: datetime
    silent_seconds: float | None  #: since its latest sign of life, rounded
