"""The Idempotency-Key header for routes that create something."""

import functools
import hashlib
import re
from collections.abc import Callable
from typing import ParamSpec

from flask import Response, g, request

from api.domain.access.audit import current_note
from api.domain.access.principal import current_principal
from api.errors import Finding, Invalid
from api.util.files.stored_form import DIGEST
from api.web.idempotency import EarlierResult, StoredResponse
from api.web.responses import services

P = ParamSpec("P")

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

#: For the `doc` of a creation that responds with 202; the document adds the header to those with 201 by itself.
MARK = "x-takes-idempotency-key"
TAKES_KEY = {MARK: True}

#: The response header of a replayed response.
REPLAYED = "Idempotent-Replayed"

#: Endpoints whose stored keys have an earlier name of the view: a retry after an upgrade must find its response.
_STORED_ENDPOINTS = {
    "alerts.create_channel": "alerts.make_channel",
    "alerts.create_rule": "alerts.make_rule",
    "alerts.create_silence": "alerts.make_silence",
    "datasets.restore_dataset_version": "datasets.restore_version",
    "gpu.register_gpu_task": "gpu.register_task",
    "preprocess.start_preprocessing": "preprocess.start_preprocess",
    "preprocess.upload_dataset_file": "preprocess.upload_file",
    "registry.register_model": "registry.register",
    "registry.write_model_metadata": "registry.write_metadata",
    "system.create_hold": "system.make_hold",
    "training.cache_dataset": "training.cache",
    "training.restart_training": "training.restart",
    "training.start_training": "training.start",
    "uploads.create_upload": "uploads.begin_upload",
}

#: Response headers that are stored with a response.
_KEPT_HEADERS = ("Location", "Content-Type", "Cache-Control")


def idempotency_scope() -> str | None:
    """Return the stored name of this request's Idempotency-Key, or None without one.

    Keys are separate per user and route. They are hashed, because clients may put confidential text into them.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    endpoint = request.endpoint or ""
    parts = (current_principal.get().owner or "", _STORED_ENDPOINTS.get(endpoint, endpoint), key)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def earlier_result() -> EarlierResult | None:
    """Return the result of an earlier attempt of this request whose server failed before it answered, or None."""
    made: EarlierResult | None = g.get("earlier_result")
    return made


def store_instead(body: bytes) -> None:
    """Store this body for retries instead of the response's own, which contains a secret that is shown only once."""
    g.stored_body = body


def idempotent(view: Callable[P, Response]) -> Callable[P, Response]:
    """Decorate a view: a repeated request gets the first response. Errors are not stored, so a retry can succeed."""

    @functools.wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return view(*args, **kwargs)
        if not _KEY.fullmatch(key):
            raise Invalid(mistakes=[Finding("/Idempotency-Key", "must be 1 to 255 visible ASCII characters")])
        store, scope = services().idempotency, idempotency_scope() or ""
        earlier = store.begin(scope, _fingerprint())
        if isinstance(earlier, StoredResponse):
            return Response(earlier.body, status=earlier.status, headers=[*earlier.headers, (REPLAYED, "true")])
        g.earlier_result, note = earlier, current_note.get()
        if note is not None:
            note.key_scope = scope
        answer: StoredResponse | None = None
        try:
            response = view(*args, **kwargs)
            headers = tuple((name, response.headers[name]) for name in _KEPT_HEADERS if name in response.headers)
            if earlier is not None:
                response.headers[REPLAYED] = "true"
            answer = StoredResponse(response.status_code, g.pop("stored_body", None) or response.get_data(), headers)
            return response
        finally:
            store.finish(scope, answer)

    return wrapper


def _fingerprint() -> bytes:
    """Return the hash of the whole request, including its path: restarting another task is another request."""
    digest = request.environ.get("asgi.scope", {}).get("state", {}).get(DIGEST, b"")
    return hashlib.sha256(request.path.encode() + b"\0" + request.get_data() + digest).digest()
