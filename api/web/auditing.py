"""What requests leave in the audit: changes that no transaction has kept, refusals, and what is told by the minute."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from starlette.types import Scope

from api.domain.access import NOBODY, Principal
from api.domain.audit import AuditEntry, AuditOutcome, RequestNote, noting
from api.errors import ServiceError
from api.util.base_path import BASE_PATH
from api.util.caller import address_of_caller
from api.util.clock import Clock
from api.util.key_format import claimed_key_id

#: Operations that are told often, and of which a minute is one row: a program's own progress, downloads of what a
#: training made, and the parts of uploads.
COUNTED = frozenset(
    {
        f"PATCH {BASE_PATH}/gpu/tasks/<task_id>",
        f"GET {BASE_PATH}/training/<task_id>/artifacts/<path:path>",
        f"PATCH {BASE_PATH}/uploads/<upload_id>",
    }
)

#: Operations that change something although they are GETs: the way back from a provider signs somebody in.
CHANGING = frozenset({f"GET {BASE_PATH}/auth/oidc/callback"})

#: Operations that change nothing although their method could: a question, and the way into a stream.
UNAUDITED = frozenset(
    {
        f"POST {BASE_PATH}/training/validate",
        f"POST {BASE_PATH}/models/<model_id>/convert",
        f"POST {BASE_PATH}/auth/ticket",
    }
)


class AuditSink(Protocol):
    """Where entries go; neither waits for anything."""

    def take(self, entry: AuditEntry) -> None: ...  # to be kept by itself
    def count(self, entry: AuditEntry) -> None: ...  # may come often: its like are counted


class Answered(Protocol):
    """An answer on its way out."""

    request_id: str
    status: int


class Auditing:
    """Notes what requests change, and what is refused to them. Lives in the event loop."""

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
        answered: Answered,
    ) -> Iterator[None]:
        """Has the transaction of the `with` block that makes a change keep a note of this request."""
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
            # What was changed without the database, as when a stray attempt is stopped; or nobody has said what it was.
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
        """Notes that the event loop has refused a request, if this error is a refusal."""
        if not error.is_refusal:
            return
        known = principal or NOBODY
        self._sink.count(
            AuditEntry(
                at=self._clock.now(),
                actor=_name_actor(known),
                operation=name_operation(method, pattern),
                outcome=AuditOutcome.REFUSED,
                key_id=known.key_id,
                # Nobody has shown to own this key: it is what was tried.
                object=claimed_key_id(headers.get(b"authorization", b"").decode("latin-1")),
                address=address_of_caller(scope),
                request_id=request_id,
                code=error.code,
            )
        )


def name_operation(method: str, pattern: str) -> str:
    """The operation as the table of permissions names it; HEAD is the GET without its body."""
    return f"{'GET' if method == 'HEAD' else method} {pattern}"


def _name_actor(principal: Principal) -> str:
    return NOBODY.user_id if principal == NOBODY else principal.actor
