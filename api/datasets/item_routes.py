"""Routes for the items of datasets and their captions."""

from apiflask import APIBlueprint
from flask import Response

from api.datasets.preparation.schemas import GenerateCaptions
from api.datasets.preparation.views import CaptionGeneration
from api.datasets.schemas import EditCaptions, EditItems, ItemList, ItemListQuery, SplitDataset, VersionQuery
from api.datasets.views import CaptionEdit, DatasetSplit, ItemsEdit, ItemView
from api.domain.access.principal import current_principal
from api.domain.datasets.dataset import ItemFilter
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import TAKES_KEY, earlier_result, idempotency_scope, idempotent
from api.web.responses import answer, body_is_optional, services
from api.web.schemas import envelope_of

#: Responses of a dry run: 200 has the same schema as 201.
_CHECKED: dict[int, str] = {
    200: "The result that the request would have.",
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    409: "Conflict",
    415: "Unsupported media type",
    422: "Unprocessable entity",
    503: "Service unavailable",
}

#: Responses of a dry run: 200 has the same schema as 202.
_ESTIMATED: dict[int, str] = {
    200: "The estimate.",
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
@dataset_items.output(envelope_of(ItemList))
@dataset_items.doc(responses=[404, 422])
def list_items(name: str, query_data: ItemListQuery) -> Response:
    """List the items of a version, by name.

    Values of files that were not examined yet are null. Filters are combined with AND.
    """
    wanted = ItemFilter(query_data.search, query_data.problem, query_data.excluded)
    page = services().datasets.items.get_page(name, query_data.version, wanted, query_data.page())
    return answer({"items": page.rows, "pagination": page.pagination})


@dataset_items.get("/<name>/items/<item_id>")
@dataset_items.input(VersionQuery, location="query")
@dataset_items.output(envelope_of(ItemView))
@dataset_items.doc(responses=[404, 422])
def get_item(name: str, item_id: str, query_data: VersionQuery) -> Response:
    """Return one item.

    Its id is the same in every version, even when its file or caption changes.
    """
    return answer(services().datasets.items.get(name, item_id, query_data.version))


@dataset_items.patch("/<name>/items")
@dataset_items.input(EditItems)
@dataset_items.output(envelope_of(ItemsEdit))
@dataset_items.doc(responses=[400, 404, 409, 415, 422, 503])
def edit_items(name: str, json_data: EditItems) -> Response:
    """Remove, exclude or include items.

    Removed items are not in the new version. Excluded items stay in it, but trainings, checks and caches ignore them.
    Files of a registered directory are not touched. `POST …/versions/{previous}/restore` undoes the edit. Unknown ids
    are 404 `item_not_found`, all listed in `data.item_ids`. With `version`, the response is 409 `dataset_changed` if a
    different version is the newest.
    """
    actor = current_principal.get().actor
    return answer(services().datasets.item_edits.edit(name, json_data.changes(), actor, dry_run=json_data.dry_run))


@dataset_items.post("/<name>/split")
@dataset_items.input(SplitDataset)
@dataset_items.output(envelope_of(DatasetSplit, "Split"), status_code=201)
@dataset_items.doc(responses=_CHECKED)
@idempotent
def split_dataset(name: str, json_data: SplitDataset) -> Response:
    """Move items into another dataset.

    Captions, masks and controls move too. The target may exist; otherwise the split creates it. Both datasets get a
    new version, or neither does. `dry_run` returns 200 and changes nothing. Items whose names already exist in `into`
    are 422; the response lists all of them. Items of a registered directory cannot be moved: 409
    `dataset_is_registered`.
    """
    principal = current_principal.get()
    request = json_data.request()
    if before := earlier_result():
        made = services().datasets.splits.get_made(name, request.into, before.numbers)
    else:
        made = services().datasets.splits.split(name, request, principal, dry_run=json_data.dry_run)
    if made.into_version is None:
        return answer(made)
    return answer(made, 201, "split", {"Location": f"{BASE_PATH}/datasets/{made.into}"})


@dataset_items.patch("/<name>/captions")
@dataset_items.input(EditCaptions)
@dataset_items.output(envelope_of(CaptionEdit, "Captions"))
@dataset_items.doc(responses=[400, 404, 409, 415, 422, 503])
def edit_captions(name: str, json_data: EditCaptions) -> Response:
    """Edit captions.

    Either set the captions in `changes`, or make the same edit in many items: `replace` first, then `prefix` and
    `suffix`, in the items that `item_ids` and `search` select. `caption` sets the same caption for each of them; with
    `only_missing` only for items without one. Without `caption`, items that have no caption are not changed. The edit
    creates a new version; with `dry_run` it does not. `differences` contains the first 200. With `version`, the
    response is 409 `dataset_changed` if a different version is the newest.
    """
    actor = current_principal.get().actor
    return answer(services().datasets.captions.edit(name, json_data.to_request(), actor, dry_run=json_data.dry_run))


@dataset_items.post("/<name>/captions/generate")
@dataset_items.input(GenerateCaptions)
@dataset_items.output(envelope_of(CaptionGeneration), status_code=202)
@dataset_items.doc(responses=_ESTIMATED, extensions=TAKES_KEY)
@body_is_optional
@idempotent
def generate_captions(name: str, json_data: GenerateCaptions) -> Response:
    """Generate captions.

    A task asks the vision model of `CAPTION_ENDPOINT` or runs the program of `CAPTION_COMMAND`. `dry_run` returns 200
    with the number of questions, the time and the cost only. The result is a new version with its differences;
    `restore` with `previous` undoes it. Earlier answers of the model are reused. If neither setting is set, the
    response is 503.
    """
    principal, wanted = current_principal.get(), json_data.to_request()
    made = services().datasets.captioning.generate(
        name, wanted, principal, idempotency_scope(), dry_run=json_data.dry_run
    )
    if made.task is None:
        return answer(made)
    return answer(made, 202, "accepted", {"Location": f"{BASE_PATH}/preprocess/status/{made.task.task_id}"})
