"""The items of datasets, and their captions."""

from apiflask import APIBlueprint
from flask import Response

from api.models.access import current_principal
from api.models.dataset import ItemFilter
from api.routes.context import services
from api.routes.schemas.datasets import (
    CaptionsAnswer,
    EditCaptions,
    ItemAnswer,
    ItemListAnswer,
    ItemListQuery,
    VersionQuery,
)
from api.utils.base_path import BASE_PATH
from api.utils.responses import answer

dataset_items = APIBlueprint("dataset_items", __name__, url_prefix=f"{BASE_PATH}/datasets", tag="Datasets")


@dataset_items.get("/<name>/items")
@dataset_items.input(ItemListQuery, location="query")
@dataset_items.output(ItemListAnswer)
@dataset_items.doc(responses=[404, 422])
def list_items(name: str, query_data: ItemListQuery) -> Response:
    """The items of a version, by name

    What nobody has looked into yet is null. Filters are joined by and.
    """
    wanted = ItemFilter(query_data.search, query_data.problem)
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


@dataset_items.patch("/<name>/captions")
@dataset_items.input(EditCaptions)
@dataset_items.output(CaptionsAnswer)
@dataset_items.doc(responses=[400, 404, 409, 415, 422, 503])
def edit_captions(name: str, json_data: EditCaptions) -> Response:
    """Edit captions

    Those of `changes`, or the same edit over many: `replace`, then `prefix` and `suffix`, in the items that `item_ids`
    and `search` choose; items without a caption stay as they are. It makes a new version, and with `dry_run` none.
    `differences` shows the first 200. With `version` it is 409 `dataset_changed` when another has become the newest.
    """
    actor = current_principal.get().actor
    return answer(services().captions.edit(name, json_data.wish(), actor, dry_run=json_data.dry_run))
