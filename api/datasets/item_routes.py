"""The items of datasets, and their captions."""

from apiflask import APIBlueprint
from flask import Response

from api.datasets.preprocess_schemas import CaptionGenerationAnswer, GenerateCaptions
from api.datasets.schemas import (
    CaptionsAnswer,
    EditCaptions,
    EditItems,
    ItemAnswer,
    ItemListAnswer,
    ItemListQuery,
    ItemsEditAnswer,
    SplitAnswer,
    SplitDataset,
    VersionQuery,
)
from api.domain.access import current_principal
from api.domain.dataset import ItemFilter
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import services
from api.web.idempotency_routes import TAKES_KEY, idempotency_scope, idempotent, made_before
from api.web.optional_body import body_is_optional

#: The answer 200 of a dry run, which has the form of its 201.
_CHECKED: dict[int, str] = {
    200: "What it would do.",
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    409: "Conflict",
    415: "Unsupported media type",
    422: "Unprocessable entity",
    503: "Service unavailable",
}

#: The answer 200 of a dry run, which has the form of its 202.
_ESTIMATED: dict[int, str] = {
    200: "What it would take.",
    400: "Bad request",
    404: "Not found",
    409: "Conflict",
    415: "Unsupported media type",
    422: "Unprocessable entity",
    503: "Service unavailable",
}

dataset_items = APIBlueprint("dataset_items", __name__, url_prefix=f"{BASE_PATH}/datasets", tag="Datasets")


@dataset_items.get("/<name>/items")
@dataset_items.input(ItemListQuery, location="query")
@dataset_items.output(ItemListAnswer)
@dataset_items.doc(responses=[404, 422])
def list_items(name: str, query_data: ItemListQuery) -> Response:
    """The items of a version, by name

    What nobody has looked into yet is null. Filters are joined by and.
    """
    wanted = ItemFilter(query_data.search, query_data.problem, query_data.excluded)
    page = services().items.get_page(name, query_data.version, wanted, query_data.page())
    return answer({"items": page.rows, "pagination": page.pagination})


@dataset_items.get("/<name>/items/<item_id>")
@dataset_items.input(VersionQuery, location="query")
@dataset_items.output(ItemAnswer)
@dataset_items.doc(responses=[404, 422])
def get_item(name: str, item_id: str, query_data: VersionQuery) -> Response:
    """One item

    Its id is the same in every version, whatever becomes of its bytes and its caption.
    """
    return answer(services().items.get(name, item_id, query_data.version))


@dataset_items.patch("/<name>/items")
@dataset_items.input(EditItems)
@dataset_items.output(ItemsEditAnswer)
@dataset_items.doc(responses=[400, 404, 409, 415, 422, 503])
def edit_items(name: str, json_data: EditItems) -> Response:
    """Remove, exclude or include items

    Removed items are not in the new version; excluded ones are, but trainings, checks and caches do not see them. Files
    of a registered directory stay as they are. `POST …/versions/{previous}/restore` undoes it. Unknown ids are 404
    `item_not_found`, all in `data.item_ids`. With `version` it is 409 `dataset_changed` when another has become the
    newest.
    """
    actor = current_principal.get().actor
    return answer(services().item_edits.edit(name, json_data.changes(), actor, dry_run=json_data.dry_run))


@dataset_items.post("/<name>/split")
@dataset_items.input(SplitDataset)
@dataset_items.output(SplitAnswer, status_code=201)
@dataset_items.doc(responses=_CHECKED)
@idempotent
def split_dataset(name: str, json_data: SplitDataset) -> Response:
    """Move items into another dataset

    With captions, masks and controls, into a dataset that exists or that the split makes; both get a new version, or
    neither. `dry_run` is 200 and changes nothing. Items whose names `into` has already are 422, all of them. The items
    of a registered directory cannot be moved: 409 `dataset_is_registered`.
    """
    asks = current_principal.get()
    request = json_data.request()
    if before := made_before():
        made = services().splits.get_made(name, request.into, before.numbers)
    else:
        made = services().splits.split(name, request, asks, dry_run=json_data.dry_run)
    if made.into_version is None:
        return answer(made)
    return answer(made, 201, "split", {"Location": f"{BASE_PATH}/datasets/{made.into}"})


@dataset_items.patch("/<name>/captions")
@dataset_items.input(EditCaptions)
@dataset_items.output(CaptionsAnswer)
@dataset_items.doc(responses=[400, 404, 409, 415, 422, 503])
def edit_captions(name: str, json_data: EditCaptions) -> Response:
    """Edit captions

    Those of `changes`, or the same edit over many: `replace`, then `prefix` and `suffix`, in the items that `item_ids`
    and `search` choose. `caption` gives each of them this one, with `only_missing` those that have none; otherwise
    items without a caption stay as they are. It makes a new version, and with `dry_run` none.
    `differences` shows the first 200. With `version` it is 409 `dataset_changed` when another has become the newest.
    """
    actor = current_principal.get().actor
    return answer(services().captions.edit(name, json_data.wish(), actor, dry_run=json_data.dry_run))


@dataset_items.post("/<name>/captions/generate")
@dataset_items.input(GenerateCaptions)
@dataset_items.output(CaptionGenerationAnswer, status_code=202)
@dataset_items.doc(responses=_ESTIMATED, extensions=TAKES_KEY)
@body_is_optional
@idempotent
def generate_captions(name: str, json_data: GenerateCaptions) -> Response:
    """Have captions written

    By the vision model of `CAPTION_ENDPOINT` or the program of `CAPTION_COMMAND`, as a task; `dry_run` is 200 and only
    tells questions, time and cost. The result is a new version with its differences, and `previous` is what `restore`
    goes back to. What was answered before is not asked again. Without either it is 503.
    """
    asks, wanted = current_principal.get(), json_data.wanted()
    made = services().captioning.generate(name, wanted, asks, idempotency_scope(), dry_run=json_data.dry_run)
    if made.task is None:
        return answer(made)
    return answer(made, 202, "accepted", {"Location": f"{BASE_PATH}/preprocess/status/{made.task.task_id}"})
