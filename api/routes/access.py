"""What every route needs: the services, and ready documents as answers."""

from typing import cast

from flask import Response, current_app, request

from api.errors import NotFound
from api.services.bundle import Services
from api.services.documents import reply_with
from api.utils.responses import answer_bytes


def services() -> Services:
    """The services of the running app."""
    return cast(Services, current_app.extensions["services"])


def answer_document(path: str) -> Response:
    """The document at this path, by ETag and encoding as the request asks for it."""
    document = services().gpus.documents.get(path)
    if document is None:
        raise NotFound
    status, headers, body = reply_with(
        document,
        request.headers.get("If-None-Match", ""),
        request.headers.get("Accept-Encoding", ""),
        services().clock.monotonic(),
    )
    return answer_bytes(status, headers, body)
