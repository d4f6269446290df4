"""Routes for the media of datasets: files, thumbnails, the trainer's view, checks and exports."""

from apiflask import APIBlueprint
from flask import Response, request

from api.datasets.checks.views import DatasetCheck, RecipeView
from api.datasets.media_schemas import AsTrainedQuery, CheckDataset, ExportQuery, PictureForm, ThumbnailQuery
from api.datasets.schemas import VersionQuery
from api.util.http.base_path import BASE_PATH
from api.web.packed_responses import answer_picture
from api.web.responses import answer, answer_file, body_is_optional, services
from api.web.schemas import envelope_of, export_responses, file_responses, picture_responses

dataset_media = APIBlueprint("dataset_media", __name__, url_prefix=f"{BASE_PATH}/datasets", tag="Datasets")


@dataset_media.post("/<name>/check")
@dataset_media.input(CheckDataset)
@dataset_media.output(envelope_of(DatasetCheck))
@dataset_media.doc(responses=[400, 404, 415, 422, 503])
@body_is_optional
def check_dataset(name: str, json_data: CheckDataset) -> Response:
    """Check a version.

    Reports damaged files, missing captions, duplicates and, for a model type, the buckets, the dropped items with
    reasons and the steps per epoch, by the rules of `/training/validate`. Each file is examined once, for at most 20 s
    per request. Repeat the request while `unexamined` is not 0.
    """
    return answer(services().datasets.checker.check(name, json_data.to_request()))


@dataset_media.get("/<name>/export")
@dataset_media.input(ExportQuery, location="query")
@dataset_media.doc(responses=export_responses("The archive.", "No such dataset or version."))
def export_dataset(name: str, query_data: ExportQuery) -> Response:
    """Download a version as a zip.

    Its layout is the trainer's own with a `dataset.toml`, kohya's, or ai-toolkit's. The zip is created while it is
    sent, so its length is unknown and `Range` is not supported.
    """
    return answer_file(request.environ, services().datasets.export.open(name, query_data.version, query_data.form))


@dataset_media.get("/<name>/items/<item_id>/thumbnail")
@dataset_media.input(ThumbnailQuery, location="query")
@dataset_media.doc(responses=picture_responses("A small picture.", "No such item, or `no_picture`.", "image/jpeg"))
def get_thumbnail(name: str, item_id: str, query_data: ThumbnailQuery) -> Response:
    """Return a thumbnail of an item.

    The JPEG is made on the first request. For a video it shows the first frame.
    """
    dataset, item = services().datasets.thumbnails.find(name, item_id, query_data.version)
    draw = lambda: services().datasets.thumbnails.draw(dataset, item, query_data.size)  # noqa: E731
    return answer_picture(f"{item.sha256}-{query_data.size}", "image/jpeg", draw)


@dataset_media.get("/<name>/items/<item_id>/media")
@dataset_media.input(VersionQuery, location="query")
@dataset_media.doc(responses=file_responses("The file.", "No such item.", "application/octet-stream"))
def get_media(name: str, item_id: str, query_data: VersionQuery) -> Response:
    """Return the file of an item.

    The file is streamed as it was uploaded. `Range` selects a part.
    """
    return answer_file(request.environ, services().datasets.item_files.open(name, item_id, query_data.version))


@dataset_media.get("/<name>/items/<item_id>/as_trained")
@dataset_media.input(AsTrainedQuery, location="query")
@dataset_media.output(envelope_of(RecipeView))
@dataset_media.doc(responses=picture_responses("The pixels.", "No such item, or `not_trained`.", "image/png"))
def get_item_as_trained(name: str, item_id: str, query_data: AsTrainedQuery) -> Response:
    """Return an item as the trainer sees it.

    A PNG of the exact pixels after crop, resize and re-timing: one frame, or a strip of at most 16. `form=recipe`
    returns how they are made.
    """
    wanted, frame = query_data.to_request(), query_data.frame
    if query_data.form is PictureForm.RECIPE:
        return answer(services().datasets.as_trained.describe(name, item_id, wanted, frame))
    picture = services().datasets.as_trained.draw(name, item_id, wanted, frame)
    return answer_picture(None, "image/png", lambda: picture)
