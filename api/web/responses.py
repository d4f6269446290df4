"""What every route needs: the services of the app, and responses in the common form."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from flask import Response, current_app, request
from werkzeug.datastructures import Headers

from api.errors import NotFound, ServiceError
from api.util.documents import reply_with
from api.util.envelope import JSON, encode_answer, encode_error
from api.util.ids import current_request_id
from api.util.stored_form import FILE

if TYPE_CHECKING:
    from api.composition.services import Services


def services() -> "Services":
    """Return the services of the running app."""
    return cast("Services", current_app.extensions["services"])


def answer(data: Any, code: int = 200, message: str = "success", headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with the envelope of a success with `data`."""
    return Response(encode_answer(data, code, message), status=code, content_type=JSON, headers=dict(headers or {}))


def answer_error(error: ServiceError) -> Response:
    """Return a response with the envelope of an error."""
    body = encode_error(error, current_request_id.get())
    return Response(body, status=error.status, content_type=JSON, headers=error.headers)


def answer_bytes(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Response:
    """Return a response from prepared parts."""
    response = Response(body, status, Headers([(n.decode("latin-1"), v.decode("latin-1")) for n, v in headers]))
    if status == 304:
        # Flask gives every response a type, but this one has no content.
        del response.headers["Content-Type"]
    return response


def answer_file(environ: Mapping[str, Any], file: Any) -> Response:
    """Pass an open file to the shell, which sends and closes it. The returned response is not sent."""
    environ["asgi.scope"]["state"][FILE] = file
    return Response(status=200)


def answer_document(path: str, node: str | None = None) -> Response:
    """Return the document at this path as a response, filtered to the caller's scope; 304 or compressed as requested.

    `node` limits it to this node's GPUs. Raises NodeNotFound.
    """
    parts, environ = services(), request.environ
    document = parts.gpus.seen.of_node(node).table.get(path, environ.get("HTTP_ACCEPT", ""))
    if document is None:
        raise NotFound
    if_none_match, accept_encoding = environ.get("HTTP_IF_NONE_MATCH", ""), environ.get("HTTP_ACCEPT_ENCODING", "")
    return answer_bytes(*reply_with(document, if_none_match, accept_encoding, parts.clock.monotonic()))
