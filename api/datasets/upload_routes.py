"""Routes for resumable uploads by tus 1.0. The ASGI shell (`web/tus.py`) receives their bytes."""

from apiflask import APIBlueprint
from flask import Response

from api.datasets.upload_headers import progress_headers, read_length, read_metadata, write_metadata
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import services
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.upload_schemas import UploadAnswer, UploadPageAnswer, UploadsQuery

uploads = APIBlueprint("uploads", __name__, url_prefix=f"{BASE_PATH}/uploads", tag="Datasets")


@uploads.post("")
@uploads.output(UploadAnswer, status_code=201)
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
    uploads_, before = services().uploads, earlier_result()
    if before is None:
        view = uploads_.show(uploads_.begin(read_length(), read_metadata()))
    else:
        view = uploads_.get(before.about)
    headers = {"Location": f"{BASE_PATH}/uploads/{view.upload_id}", **progress_headers(view)}
    return answer(view, 201, "created", {name: value for name, value in headers.items() if name != "Upload-Offset"})


@uploads.get("")
@uploads.input(UploadsQuery, location="query")
@uploads.output(UploadPageAnswer)
@uploads.doc(responses=[422])
def list_uploads(query_data: UploadsQuery) -> Response:
    """List uploads, newest first.

    Uploads that the caller may see: active ones, and those that finished within the last seven days.
    """
    statuses = [] if query_data.status is None else [query_data.status]
    page = services().uploads.get_page(statuses, None, query_data.page())
    return answer({"uploads": page.rows, "pagination": page.pagination})


@uploads.get("/<upload_id>")
@uploads.output(UploadAnswer)
@uploads.doc(responses=[404, 412])
def get_upload(upload_id: str) -> Response:
    """Return the progress and result of an upload.

    `HEAD` returns the number of durably stored bytes in `Upload-Offset`. After the last byte, `status` shows whether a
    dataset version contains the upload; `result` names the version, `problem` the reason of a failure.
    """
    upload = services().uploads.get(upload_id)
    metadata = write_metadata(services().uploads.metadata_of(upload_id))
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
    return Response(status=204, headers=progress_headers(services().uploads.get(upload_id)))


@uploads.delete("/<upload_id>")
@uploads.output({}, status_code=204)
@uploads.doc(responses=[403, 404, 409, 412])
def remove_upload(upload_id: str) -> Response:
    """Delete an upload.

    Files that a dataset already contains are not deleted.
    """
    services().uploads.remove(upload_id)
    return Response(status=204)
