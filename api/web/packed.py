"""Responses with files and pictures from memory. A slow reader occupies bytes, but no thread."""

from collections.abc import Callable, Mapping

from flask import Response, request

from api.util.packed_files import PackedFile


def answer_packed(file: PackedFile, headers: Mapping[str, str]) -> Response:
    """Return the response with a file, compressed or 304 as the request's headers ask."""
    zipped = request.accept_encodings.quality("gzip") > 0
    response = Response(
        file.compressed if zipped else file.content, content_type=file.content_type, headers=dict(headers)
    )
    response.headers["Vary"] = "Accept-Encoding"
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(file.etag, weak=True)
    response.make_conditional(request)
    return response


def answer_picture(tag: str | None, content_type: str, draw: Callable[[], bytes]) -> Response:
    """Return the picture, or 304 without drawing it if the client has the picture with this tag."""
    headers = {"Cache-Control": "private, no-cache"}
    if tag is None:
        return Response(draw(), content_type=content_type, headers=headers)
    response = Response(content_type=content_type, headers=headers)
    response.set_etag(tag)
    if not request.if_none_match.contains(tag):
        response.set_data(draw())
    response.make_conditional(request)
    return response
