"""The media of datasets: seen, as they are and as a trainer sees them, and checked."""

from apiflask import APIBlueprint
from flask import Response, request

from api.datasets.media_schemas import (
    AsTrainedQuery,
    CheckDataset,
    DatasetCheckAnswer,
    ExportQuery,
    PictureForm,
    RecipeAnswer,
    ThumbnailQuery,
)
from api.datasets.schemas import VersionQuery
from api.util.base_path import BASE_PATH
from api.util.responses import answer, answer_file
from api.web.context import services
from api.web.optional_body import body_is_optional
from api.web.packed import answer_picture
from api.web.schemas import export_responses, file_responses, picture_responses

dataset_media = APIBlueprint("dataset_media", __name__, url_prefix=f"{BASE_PATH}/datasets", tag="Datasets")


@dataset_media.post("/<name>/check")
@dataset_media.input(CheckDataset)
@dataset_media.output(DatasetCheckAnswer)
@dataset_media.doc(responses=[400, 404, 415, 422, 503])
@body_is_optional
def check_dataset(name: str, json_data: CheckDataset) -> Response:
    """Check a version

    Damaged files, captions, duplicates, and for a model type its buckets, what is dropped and why, and the steps of an
    epoch: by the rules of `/training/validate`. Each file is looked into once, for 20 s a request; while `unexamined`
    is not 0 the same request goes on.
    """
    return answer(services().checker.check(name, json_data.wish()))


@dataset_media.get("/<name>/export")
@dataset_media.input(ExportQuery, location="query")
@dataset_media.doc(responses=export_responses("The archive.", "No such dataset or version."))
def export_dataset(name: str, query_data: ExportQuery) -> Response:
    """A version as a zip

    In the trainer's own form with its `dataset.toml`, in kohya's or in ai-toolkit's. Made while it is sent, so that
    neither its length is known before nor parts of it can be asked for.
    """
    return answer_file(request.environ, services().export.open(name, query_data.version, query_data.form))


@dataset_media.get("/<name>/items/<item_id>/thumbnail")
@dataset_media.input(ThumbnailQuery, location="query")
@dataset_media.doc(responses=picture_responses("A small picture.", "No such item, or `no_picture`.", "image/jpeg"))
def get_thumbnail(name: str, item_id: str, query_data: ThumbnailQuery) -> Response:
    """A small picture of an item

    A JPEG, made when it is first asked for; of a video it is the first frame.
    """
    dataset, item = services().thumbnails.find(name, item_id, query_data.version)
    draw = lambda: services().thumbnails.draw(dataset, item, query_data.size)  # noqa: E731
    return answer_picture(f"{item.sha256}-{query_data.size}", "image/jpeg", draw)


@dataset_media.get("/<name>/items/<item_id>/media")
@dataset_media.input(VersionQuery, location="query")
@dataset_media.doc(responses=file_responses("The file.", "No such item.", "application/octet-stream"))
def get_media(name: str, item_id: str, query_data: VersionQuery) -> Response:
    """The file of an item

    Streamed, as it was uploaded; `Range` asks for a part.
    """
    return answer_file(request.environ, services().item_files.open(name, item_id, query_data.version))


@dataset_media.get("/<name>/items/<item_id>/as_trained")
@dataset_media.input(AsTrainedQuery, location="query")
@dataset_media.output(RecipeAnswer)
@dataset_media.doc(responses=picture_responses("The pixels.", "No such item, or `not_trained`.", "image/png"))
def get_as_trained(name: str, item_id: str, query_data: AsTrainedQuery) -> Response:
    """An item as the trainer sees it

    The very pixels after crop, resize and re-timing, as a PNG: one frame, or a strip of 16 at most. `form=recipe` says
    how they are made.
    """
    wish, frame = query_data.wish(), query_data.frame
    if query_data.form is PictureForm.RECIPE:
        return answer(services().as_trained.describe(name, item_id, wish, frame))
    picture = services().as_trained.draw(name, item_id, wish, frame)
    return answer_picture(None, "image/png", lambda: picture)
