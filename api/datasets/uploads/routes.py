"""Routes for resumable uploads by tus 1.0. The ASGI shell (`web/bodies/tus.py`) receives their bytes."""

import base64
import re
from collections.abc import Mapping
from email.utils import format_datetime

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.datasets.upload import UploadView
from api.errors import MalformedRequest
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, services
from api.web.schemas import UploadPage, UploadsQuery, envelope_of

uploads = APIBlueprint("uploads", __name__, url_prefix=f"{BASE_PATH}/uploads", tag="Datasets")


@uploads.post("")
@uploads.output(envelope_of(UploadView), status_code=201)
@uploads.doc(responses=[400, 403, 409, 412, 413, 415, 422, 460, 503, 507])
@idempotent
def create_upload() -> Response:
    """Start an upload.

    `Upload-Length` is the size in bytes. `Upload-Metadata` contains `dataset` (created if new), `filename` (path in
    the dataset; `relativePath` is put in front) and `kind`: `item` or `archive`, detected from the content if omitted.
    For the kind `model` it contains `name`; the file becomes the next version of that registered model. For `sample`
    it contains `name`, `version` and optionally `prompt`, `seed` and `step`. Send the bytes to `Location`; the first
    bytes may be part of this request.
    """
    uploads_, before = services().datasets.uploads, earlier_result()
    if before is None:
        view = uploads_.show(uploads_.begin(read_length(), read_metadata()))
    else:
        view = uploads_.get(before.about)
    headers = {"Location": f"{BASE_PATH}/uploads/{view.upload_id}", **progress_headers(view)}
    return answer(view, 201, "created", {name: value for name, value in headers.items() if name != "Upload-Offset"})


@uploads.get("")
@uploads.input(UploadsQuery, location="query")
@uploads.output(envelope_of(UploadPage))
@uploads.doc(responses=[422])
def list_uploads(query_data: UploadsQuery) -> Response:
    """List uploads, newest first.

    Uploads that the caller may see: active ones, and those that finished within the last seven days.
    """
    statuses = [] if query_data.status is None else [query_data.status]
    page = services().datasets.uploads.get_page(statuses, None, query_data.page())
    return answer({"uploads": page.rows, "pagination": page.pagination})


@uploads.get("/<upload_id>")
@uploads.output(envelope_of(UploadView))
@uploads.doc(responses=[404, 412])
def get_upload(upload_id: str) -> Response:
    """Return the progress and result of an upload.

    `HEAD` returns the number of durably stored bytes in `Upload-Offset`. After the last byte, `status` shows whether a
    dataset version contains the upload; `result` names the version, `problem` the reason of a failure.
    """
    upload = services().datasets.uploads.get(upload_id)
    metadata = write_metadata(services().datasets.uploads.metadata_of(upload_id))
    headers = {**progress_headers(upload), **({"Upload-Metadata": metadata} if metadata else {})}
    return answer(upload, headers=headers)


@uploads.patch("/<upload_id>")
@uploads.output({}, status_code=204)
@uploads.doc(responses=[400, 403, 404, 408, 409, 412, 413, 415, 460, 503, 507])
def continue_upload(upload_id: str) -> Response:
    """Send the next bytes of an upload.

    The bytes start at `Upload-Offset`. 409 `upload_conflict` returns the actual offset, or reports that another
    request is writing. With `Upload-Checksum: sha256 …` the bytes are stored only if the checksum matches (460). If a
    request is interrupted, the received bytes are kept and `HEAD` returns their number.
    """
    return Response(status=204, headers=progress_headers(services().datasets.uploads.get(upload_id)))


@uploads.delete("/<upload_id>")
@uploads.output({}, status_code=204)
@uploads.doc(responses=[403, 404, 409, 412])
def remove_upload(upload_id: str) -> Response:
    """Delete an upload.

    Files that a dataset already contains are not deleted.
    """
    services().datasets.uploads.remove(upload_id)
    return Response(status=204)


#: Most bytes of the header Upload-Metadata; and the form of its names.
MOST_METADATA_BYTES = 8 * 1024
_NAME = re.compile(r"[!-+\--~]{1,100}")


def read_length() -> int:
    """Return the size of this request's upload in bytes. Raises MalformedRequest."""
    text = request.headers.get("Upload-Length")
    if text is None:
        raise MalformedRequest("Upload-Length is missing: set it to the size of the upload in bytes.")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise MalformedRequest("Upload-Length must be a number of bytes.")
    return int(text)


def read_metadata() -> dict[str, str]:
    """Return the metadata of this request's upload: comma-separated names and Base64 texts. Raises MalformedRequest."""
    header = request.headers.get("Upload-Metadata", "")
    if len(header) > MOST_METADATA_BYTES:
        raise MalformedRequest(f"Upload-Metadata has more than {MOST_METADATA_BYTES:,} bytes.")
    found: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else []:
        name, _, encoded = pair.strip().partition(" ")
        if not _NAME.fullmatch(name) or name in found:
            raise MalformedRequest("Upload-Metadata must contain comma-separated `name base64` pairs, each name once.")
        try:
            found[name] = base64.b64decode(encoded.strip(), validate=True).decode()
        except ValueError:
            raise MalformedRequest(f"Upload-Metadata: the value of {name} is not UTF-8 text in Base64.") from None
        if "\0" in found[name]:
            raise MalformedRequest(f"Upload-Metadata: the value of {name} contains a NUL character.")
    return found


def write_metadata(values: Mapping[str, str]) -> str:
    """Return the header Upload-Metadata with these values."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}".strip() for name, value in values.items())


def progress_headers(upload: UploadView) -> dict[str, str]:
    """Return headers with the progress of an upload."""
    headers = {"Upload-Expires": format_datetime(upload.expires_at, usegmt=True), "Cache-Control": "no-store"}
    if upload.offset is not None:
        headers["Upload-Offset"] = str(upload.offset)
    if upload.size_bytes is not None:
        headers["Upload-Length"] = str(upload.size_bytes)
    return headers
