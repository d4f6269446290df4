"""Helpers for all routes: the services, and responses with ready documents."""

from typing import TYPE_CHECKING, cast

from flask import Response, current_app, request

from api.errors import NotFound
from api.util.documents import reply_with
from api.util.responses import answer_bytes

if TYPE_CHECKING:
    from api.composition.services import Services


def services() -> "Services":
    """Return the services of the running app."""
    return cast("Services", current_app.extensions["services"])


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
