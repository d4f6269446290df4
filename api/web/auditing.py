"""Audit entries for requests: changes that no transaction recorded, refusals, and counted operations."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from starlette.types import Scope

from api.domain.access.audit import AuditEntry, AuditOutcome, RequestNote, noting
from api.domain.access.principal import ANONYMOUS, Principal
from api.errors import ServiceError
from api.util.clock import Clock
from api.util.http.base_path import BASE_PATH
from api.util.http.caller import address_of_caller, kind_of_client
from api.util.text.key_format import claimed_key_id

#: Frequent operations, stored as one row per minute: progress reports and claims of programs, downloads of training
#: artifacts, and parts of uploads.
COUNTED = frozenset(
    {
        f"PATCH {BASE_PATH}/gpu/tasks/<task_id>",
        f"POST {BASE_PATH}/gpu/<gpu_id>/claim",
        f"GET {BASE_PATH}/training/<task_id>/artifacts/<path:path>",
        f"PATCH {BASE_PATH}/uploads/<upload_id>",
    }
)

#: GET operations that change something: the callback of an identity provider signs a user in.
CHANGING = frozenset({f"GET {BASE_PATH}/auth/oidc/callback"})

#: Operations that change nothing although they are POSTs: dry runs, and the ticket for a stream.
UNAUDITED = frozenset(
    {
        f"POST {BASE_PATH}/training/validate",
        f"POST {BASE_PATH}/models/<model_id>/convert",
        f"POST {BASE_PATH}/auth/ticket",
    }
)


class AuditSink(Protocol):
    """The store of audit entries. Neither method blocks."""

    def take(self, entry: AuditEntry) -> None: ...  # stores the entry by itself
    def count(self, entry: AuditEntry) -> None: ...  # counts the entry with similar ones of the same minute


class SentResponse(Protocol):
    """A response that is being sent."""

    request_id: str
    status: int


class Auditing:
    """Records the changes and the refusals of requests. Used from the event loop only."""

    def __init__(self, sink: AuditSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock

    @contextmanager
    def noting(
        self,
        principal: Principal,
        method: str,
        pattern: str,
        arguments: Mapping[str, str],
        scope: Scope,
        answered: SentResponse,
    ) -> Iterator[None]:
        """Attach an audit note to this request, which the transaction of a change in the `with` block stores."""
        operation = name_operation(method, pattern)
        is_write = method not in ("GET", "HEAD", "WEBSOCKET") and operation not in COUNTED | UNAUDITED
        note = RequestNote(
            at=self._clock.now(),
            actor=_name_actor(principal),
            operation=operation,
            is_change=is_write or operation in CHANGING,
            key_id=principal.key_id,
            object="/".join(arguments.values()) or None,
            address=address_of_caller(scope),
            via=kind_of_client(scope),
            request_id=answered.request_id,
        )
        try:
            with noting(note):
                yield
        finally:
            self._finish(note, answered.status)

    def _finish(self, note: RequestNote, status: int) -> None:
        is_answered = 200 <= status < 400
        if note.refused_with is not None or (is_answered and note.operation in COUNTED):
            self._sink.count(note.entry())
        elif is_answered and note.is_change and not note.is_kept and (note.has_changed or note.has_committed):
            # A change outside the database, such as stopping an orphan, or one whose view did not describe it.
            self._sink.take(note.entry())

    def refuse(
        self,
        error: ServiceError,
        method: str,
        pattern: str,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        request_id: str,
        principal: Principal | None,
    ) -> None:
        """Record a request that the event loop refused, if the error is a refusal."""
        if not error.is_refusal:
            return
        known = principal or ANONYMOUS
        self._sink.count(
            AuditEntry(
                at=self._clock.now(),
                actor=_name_actor(known),
                operation=name_operation(method, pattern),
                outcome=AuditOutcome.REFUSED,
                key_id=known.key_id,
                # The key that was tried; it has not been verified.
                object=claimed_key_id(headers.get(b"authorization", b"").decode("latin-1")),
                address=address_of_caller(scope),
                via=kind_of_client(scope),
                request_id=request_id,
                code=error.code,
            )
        )


def name_operation(method: str, pattern: str) -> str:
    """Return the operation's name as in the permission table; HEAD counts as GET."""
    return f"{'GET' if method == 'HEAD' else method} {pattern}"


def _name_actor(principal: Principal) -> str:
    return ANONYMOUS.user_id if principal == ANONYMOUS else principal.actor
