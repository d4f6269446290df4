"""Idempotency-Key for routes that create."""

import functools
import hashlib
import re
from collections.abc import Callable
from typing import ParamSpec

from flask import Response, g, request

from api.domain.access import current_principal
from api.domain.audit import current_note
from api.errors import Invalid, Mistake
from api.util.taken_body import SAID
from api.web.context import services
from api.web.kept_answer_models import AlreadyMade, KeptAnswer

P = ParamSpec("P")

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

#: For the `doc` of a creation that is answered with 202: of those with 201 the document says by itself that they take a
#: key.
MARK = "x-takes-idempotency-key"
TAKES_KEY = {MARK: True}

#: Says that nothing was made now.
REPLAYED = "Idempotent-Replayed"

#: Headers of an answer that are kept and given again with it.
_KEPT_HEADERS = ("Location", "Content-Type", "Cache-Control")


def idempotency_scope() -> str | None:
    """What the Idempotency-Key of this request stands for: each user has keys of their own, at each route; None without
    one. A hash, since people put into keys what is nobody's business.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    parts = (current_principal.get().owner or "", request.endpoint or "", key)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def made_before() -> AlreadyMade | None:
    """Return what the same request has made whose server was killed or failed before it answered: that is answered."""
    made: AlreadyMade | None = g.get("made_before")
    return made


def keep_instead(body: bytes) -> None:
    """Has this body kept for retries in place of the answer's own, which holds a secret that is shown once."""
    g.kept_body = body


def idempotent(view: Callable[P, Response]) -> Callable[P, Response]:
    """Answers a repeated request with the first answer; failures are not kept, so that a retry can succeed."""

    @functools.wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return view(*args, **kwargs)
        if not _KEY.fullmatch(key):
            raise Invalid(mistakes=[Mistake("/Idempotency-Key", "must be 1 to 255 visible ASCII characters")])
        store, scope = services().idempotency, idempotency_scope() or ""
        kept = store.begin(scope, _fingerprint())
        if isinstance(kept, KeptAnswer):
            return Response(kept.body, status=kept.status, headers=[*kept.headers, (REPLAYED, "true")])
        g.made_before, note = kept, current_note.get()
        if note is not None:
            note.key_scope = scope
        answer: KeptAnswer | None = None
        try:
            response = view(*args, **kwargs)
            headers = tuple((name, response.headers[name]) for name in _KEPT_HEADERS if name in response.headers)
            if kept is not None:
                response.headers[REPLAYED] = "true"
            answer = KeptAnswer(response.status_code, g.pop("kept_body", None) or response.get_data(), headers)
            return response
        finally:
            store.finish(scope, answer)

    return wrapper


def _fingerprint() -> bytes:
    """The hash of all that the request says; the path, too: a restart of another task is not this one again."""
    said = request.environ.get("asgi.scope", {}).get("state", {}).get(SAID, b"")
    return hashlib.sha256(request.path.encode() + b"\0" + request.get_data() + said).digest()
