"""Routes of samples, and of models that are uploaded as a form."""

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.datasets.upload import UploadKind, UploadView
from api.domain.finding import FILE_EMPTY, make_finding
from api.domain.samples.library_sample import SampleDeleted, SampleView
from api.errors import FindingText, Invalid
from api.samples.library.schemas import ModelForm, SampleForm, SampleList, SamplePictureQuery
from api.util.http.base_path import BASE_PATH
from api.util.http.pagination import paginate_by_position
from api.web.bodies.form_fields import read_fields, taken_form
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.packed_responses import answer_picture
from api.web.responses import answer, answer_file, services
from api.web.schemas import PageQuery, envelope_of, file_responses, picture_responses

samples = APIBlueprint("samples", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")

_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "video/mp4", "video/webm")
_OF = "/registry/<name>/versions/<version>/samples"


@samples.post("/upload")
@samples.output(envelope_of(UploadView), status_code=202)
@samples.doc(responses=[400, 403, 409, 413, 415, 422, 503, 507])
@idempotent
def upload_model() -> Response:
    """Upload a model by form.

    `file` is a safetensors file from elsewhere. After a check, it becomes the next version of the model `name`. Poll
    `Location` for the result. Send large files to `/uploads` instead, where an interrupted upload can be resumed.
    """
    form = taken_form()
    fields, mistakes = read_fields(form, ModelForm)
    if not form.size_bytes:
        mistakes.append(
            make_finding("/file", FindingText("file_missing", "is missing") if form.file_field is None else FILE_EMPTY)
        )
    if mistakes or fields is None:
        raise Invalid(mistakes=mistakes)
    given = {"kind": UploadKind.MODEL.value, "filename": form.base_name, **fields.model_dump(mode="json")}
    metadata = {name: text for name, text in given.items() if text}
    if before := earlier_result():
        made = services().datasets.uploads.get(before.about)
    else:
        made = services().datasets.uploads.complete_form_as(UploadKind.MODEL, form, metadata)
    return answer(made, 202, "accepted", {"Location": f"{BASE_PATH}/uploads/{made.upload_id}"})


@samples.post(_OF)
@samples.output(envelope_of(SampleView), status_code=201)
@samples.doc(responses=[400, 404, 409, 413, 415, 422, 503, 507])
@idempotent
def add_sample(name: str, version: str) -> Response:
    """Add a sample to a version.

    The form has `file`, a picture or clip of at most 64 MiB that shows what the version produces, and optionally
    `prompt`, `seed` and `step`. A version can have 50 samples.
    """
    form, uploads = taken_form(), services().datasets.uploads
    fields, mistakes = read_fields(form, SampleForm)
    settings = None if fields is None else fields.settings()
    if before := earlier_result():
        made = services().catalog.samples.get(name, version, before.about)
    else:
        path = uploads.find_file(form.upload_id)
        made = services().catalog.samples.take_form(name, version, form, path, settings, mistakes)
    return answer(made, 201, "added", {"Location": made.file})


@samples.get(_OF)
@samples.input(PageQuery, location="query")
@samples.output(envelope_of(SampleList))
@samples.doc(responses=[404, 422])
def list_samples(name: str, version: str, query_data: PageQuery) -> Response:
    """List the samples of a version, oldest first.

    Each sample has the settings that its sender gave.
    """
    page = paginate_by_position(services().catalog.samples.list_samples(name, version), query_data.page())
    return answer({"samples": page.rows, "pagination": page.pagination})


@samples.get(f"{_OF}/<sample_id>/file")
@samples.doc(responses=file_responses("The file.", "No such sample.", *_TYPES))
def get_sample_file(name: str, version: str, sample_id: str) -> Response:
    """Download the file of a sample.

    The file is streamed as it was uploaded. `Range` requests a part.
    """
    return answer_file(request.environ, services().catalog.samples.open_file(name, version, sample_id))


@samples.get(f"{_OF}/<sample_id>/thumbnail")
@samples.input(SamplePictureQuery, location="query")
@samples.doc(responses=picture_responses("A small picture.", "No such sample, or `no_picture`.", "image/jpeg"))
def get_sample_thumbnail(name: str, version: str, sample_id: str, query_data: SamplePictureQuery) -> Response:
    """Get a thumbnail of a sample.

    The answer is a JPEG, for a clip of its first frame. It is made at the first request.
    """
    found = services().catalog.samples.find(name, version, sample_id)
    draw = lambda: services().catalog.samples.draw(found, query_data.size)  # noqa: E731
    return answer_picture(f"{found.sha256}-{query_data.size}", "image/jpeg", draw)


@samples.delete(f"{_OF}/<sample_id>")
@samples.output(envelope_of(SampleDeleted))
@samples.doc(responses=[404, 503])
def delete_sample(name: str, version: str, sample_id: str) -> Response:
    """Delete a sample.

    Copies on a hub stay there.
    """
    return answer(services().catalog.samples.delete(name, version, sample_id), message="deleted")
