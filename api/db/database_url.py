"""Parse DATABASE_URL: a SQLite file, or PostgreSQL on one or several servers, one of which is the primary."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

#: The servers of a URL in libpq's form: host1:5432,host2.
_SEVERAL = re.compile(
    r"(?P<before>\w[\w+.-]*://(?:[^/?#]*@)?)(?P<servers>[^/?#@]*,[^/?#@]*)(?P<after>[/?].*|)", re.DOTALL
)

#: One server: a name or address, in brackets if it has colons, and a port.
_SERVER = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[0-9]+))?")

_NO_URL = "DATABASE_URL is not a valid URL: write it as postgresql://user:password@host/name"


class DatabaseError(Exception):
    """The database cannot be used; the message has its name, the reason and a remedy."""


def parse_database_url(text: str) -> URL:
    """Return the URL with its driver; several servers are in its query, in libpq's form.

    Raises DatabaseError if the URL is invalid or not supported.
    """
    text, servers = _take_servers(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise DatabaseError(_NO_URL) from None
    if "@" in (url.host or ""):
        # The parsed host starts with the end of a password, which must not be shown.
        raise DatabaseError("DATABASE_URL has an @ in its name or password: write it as %40")
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return _with_servers(url.set(drivername="postgresql+psycopg"), servers)
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(drivername="sqlite+pysqlite")
    raise DatabaseError(
        f"DATABASE_URL has the scheme {backend!r}: only postgresql://… and sqlite:///file are supported"
        if backend != "sqlite"
        else "DATABASE_URL must name a file: a database in memory would lose every task"
    )


def _take_servers(text: str) -> tuple[str, dict[str, str]]:
    """Return the URL without its servers if there are several, and these as libpq arguments."""
    parts = _SEVERAL.fullmatch(text)
    if parts is None:
        return text, {}
    if parts["before"].count("@") > 1:
        raise DatabaseError("DATABASE_URL has an @ in its name or password: write it as %40")
    servers = [_SERVER.fullmatch(server) for server in parts["servers"].split(",")]
    if not all(server and (server["address"] or server["name"]) for server in servers):
        raise DatabaseError(_NO_URL.replace("host/name", "host1:5432,host2:5432/name"))
    known = [server for server in servers if server]
    hosts = ",".join(server["address"] or server["name"] for server in known)
    return parts["before"] + parts["after"], {"host": hosts, "port": ",".join(server["port"] or "" for server in known)}


def _with_servers(url: URL, servers: Mapping[str, str]) -> URL:
    for name in ("host", "port"):
        given = url.query.get(name)
        if isinstance(given, tuple):
            # SQLAlchemy's form of several servers: host=a:5432&host=b:5432; libpq has one value each.
            url = url.update_query_dict({name: ",".join(given)})
    hosts = str(url.query.get("host", ""))
    if hosts and "port" not in url.query and ":" in hosts and not hosts.startswith("/"):
        pairs = [host.rpartition(":") if host.count(":") == 1 else (host, "", "") for host in hosts.split(",")]
        servers = {"host": ",".join(pair[0] for pair in pairs), "port": ",".join(pair[2] for pair in pairs)}
    url = url.update_query_dict(dict(servers)) if servers else url
    if "," in str(url.query.get("host", "")) and "target_session_attrs" not in url.query:
        # So that all programs that use this URL, such as pg_dump, find the primary.
        url = url.update_query_dict({"target_session_attrs": "read-write"})
    return url


def servers_of(arguments: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """Return the libpq arguments of each server; empty if there is only one."""
    hosts, ports = str(arguments.get("host") or "").split(","), str(arguments.get("port") or "").split(",")
    if len(hosts) < 2 or "hostaddr" in arguments:
        return ()
    # A single port applies to all servers.
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return tuple({"host": host, "port": port} for host, port in zip(hosts, ports, strict=False))
