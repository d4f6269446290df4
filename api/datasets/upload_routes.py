"""Resumable uploads by tus 1.0, and what became of them. Their bytes are taken by the shell (`web/tus.py`)."""

from apiflask import APIBlueprint
from flask import Response

from api.datasets.upload_headers import progress_headers, read_length, read_metadata, write_metadata
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import services
from api.web.idempotency_routes import idempotent, made_before
from api.web.upload_schemas import UploadAnswer, UploadPageAnswer, UploadsQuery

uploads = APIBlueprint("uploads", __name__, url_prefix=f"{BASE_PATH}/uploads", tag="Datasets")


@uploads.post("")
@uploads.output(UploadAnswer, status_code=201)
@uploads.doc(responses=[400, 403, 409, 412, 413, 415, 422, 460, 503, 507])
@idempotent
def begin_upload() -> Response:
    """Begin an upload

    `Upload-Length` is its size in bytes, `Upload-Metadata` says `dataset` (a new one is made), `filename` (below the
    dataset; `relativePath` goes before it) and `kind`: `item` or `archive`; left out, the content tells. With the kind
    `model` it says `name`, and what comes is the next version of that registered model; with `sample` `name`, `version`
    and perhaps `prompt`, `seed` and `step`. `Location` is where its bytes go. Its first bytes may come along.
    """
    uploads_, before = services().uploads, made_before()
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
    """Uploads, newest first

    Those that one may see: under way, and finished within the last seven days.
    """
    statuses = [] if query_data.status is None else [query_data.status]
    page = services().uploads.get_page(statuses, None, query_data.page())
    return answer({"uploads": page.rows, "pagination": page.pagination})


@uploads.get("/<upload_id>")
@uploads.output(UploadAnswer)
@uploads.doc(responses=[404, 412])
def get_upload(upload_id: str) -> Response:
    """How far an upload is, and what has become of it

    `HEAD` says how many bytes are here, durably, in `Upload-Offset`. Once all are here, `status` tells whether a
    version of the dataset has them, and `result` which; or `problem` why not.
    """
    upload = services().uploads.get(upload_id)
    said = write_metadata(services().uploads.metadata_of(upload_id))
    headers = {**progress_headers(upload), **({"Upload-Metadata": said} if said else {})}
    return answer(upload, headers=headers)


@uploads.patch("/<upload_id>")
@uploads.output({}, status_code=204)
@uploads.doc(responses=[400, 403, 404, 408, 409, 412, 413, 415, 460, 503, 507])
def continue_upload(upload_id: str) -> Response:
    """Send the next bytes of an upload

    From `Upload-Offset` on; 409 `upload_conflict` says where it really is, or that another request writes it. With
    `Upload-Checksum: sha256 …` none of the bytes is kept unless all are right (460). Whatever cuts a request off: what
    came is kept, and `HEAD` says how much that is.
    """
    return Response(status=204, headers=progress_headers(services().uploads.get(upload_id)))


@uploads.delete("/<upload_id>")
@uploads.output({}, status_code=204)
@uploads.doc(responses=[403, 404, 409, 412])
def remove_upload(upload_id: str) -> Response:
    """Take an upload away

    What a dataset has of it already stays.
    """
    services().uploads.remove(upload_id)
    return Response(status=204)
