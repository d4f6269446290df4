"""A gate with a few operations, and requests for it."""

import asyncio
from dataclasses import replace
from typing import Any

from api.access.authority import Authority
from api.domain.access.principal import Credential, Permission, Principal, Role, granted_by
from api.errors import (
    ServiceError,
    WrongKey,
    WrongTicket,
)
from api.web.gate import Caller, Gate
from api.web.operations import Operation, OperationTable, ResourceKind

KEY, COOKIE = f"dp_abcdefghijkl_{'s' * 43}", "of-ann"
NEW = f"dp_nopqrstuvwxy_{'n' * 43}"

OPEN = Operation("GET", "/health", None, is_open=True)
READ = Operation("GET", "/gpus", Permission.GPUS_READ)
CHANGE = Operation("POST", "/t/<task_id>", Permission.TRAINING_WRITE, resource_kind=ResourceKind.TASK)


class FakeRing:
    """Knows one key and one cookie; `made` are keys of other servers, known after the next reload."""

    def __init__(self) -> None:
        self.keys = {KEY}
        self.made: set[str] = set()
        self.tickets = {"t1"}
        self.looks = 0
        self.wait = 0.0
        self.trouble: ServiceError | None = None

    def find_key(self, key: str) -> Principal:
        if self.trouble is not None:
            raise self.trouble
        if key not in self.keys:
            raise WrongKey
        return Principal("ann", Role.TRAINER, granted_by(Role.TRAINER, None), Credential.KEY, "abcdefghijkl")

    def find_session(self, cookie: str) -> Principal:
        if cookie != COOKIE:
            raise WrongKey
        return Principal("ann", Role.TRAINER, granted_by(Role.TRAINER, None), Credential.SESSION, None, "hash")

    def use_ticket(self, ticket: str) -> Principal:
        if ticket not in self.tickets:
            raise WrongTicket
        self.tickets.remove(ticket)
        return replace(self.find_key(KEY), credential=Credential.TICKET)

    def seconds_until_reload(self) -> float:
        return self.wait

    def run_once(self) -> None:
        self.looks += 1
        self.keys |= self.made


def gate_of(ring: FakeRing, *, needs_keys: bool = True, hides_others: bool = False) -> Gate:
    owners = {"anns": "ann", "bobs": "bob"}
    authority = Authority(
        ring,  # type: ignore[arg-type]
        dict.fromkeys(ResourceKind, owners.__getitem__),
        needs_keys=needs_keys,
        hides_others=hides_others,
        operations=OperationTable([OPEN, READ, CHANGE]),
    )
    return Gate(authority, takes_tickets=lambda path: path == "/stream")


def headers_of(**headers: str) -> dict[bytes, bytes]:
    return {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}


def scope_of(method: str = "GET", query: bytes = b"", kind: str = "http") -> dict[str, Any]:
    return {"type": kind, "method": method, "query_string": query, "path": "/", "state": {}}


def identify(gate: Gate, scope: dict[str, Any] | None = None, **headers: str) -> Caller:
    return asyncio.run(gate.identify(scope or scope_of(), headers_of(host="gpu.example", **headers)))


def bearer(key: str = KEY) -> str:
    return f"Bearer {key}"
