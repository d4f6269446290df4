"""Files from memory as answers. None is streamed: whoever reads slowly holds bytes, and no thread."""

from collections.abc import Mapping

from flask import Response, request

from api.utils.packed_files import PackedFile


def answer_packed(file: PackedFile, headers: Mapping[str, str]) -> Response:
    """The file, by ETag and encoding as the request asks for it."""
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
