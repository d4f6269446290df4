"""Datasets and their versions."""

from apiflask import APIBlueprint
from flask import Response

from api.datasets.schemas import (
    CacheListAnswer,
    ChangeDataset,
    CreateDataset,
    DatasetAnswer,
    DatasetDeletedAnswer,
    DatasetListAnswer,
    DatasetListQuery,
    DatasetRowAnswer,
    VersionAnswer,
    VersionListAnswer,
)
from api.domain.access import current_principal
from api.util.base_path import BASE_PATH
from api.util.pagination import paginate
from api.util.responses import answer
from api.web.context import services
from api.web.idempotency_routes import idempotent, made_before
from api.web.schemas import PageQuery

datasets = APIBlueprint("datasets", __name__, url_prefix=f"{BASE_PATH}/datasets", tag="Datasets")


@datasets.get("")
@datasets.input(DatasetListQuery, location="query")
@datasets.output(DatasetListAnswer)
@datasets.doc(responses=[422])
def list_datasets(query_data: DatasetListQuery) -> Response:
    """Datasets, newest first

    Those that one may see. Filters are joined by and.
    """
    page = services().datasets.get_page(query_data.search, query_data.owner, query_data.page())
    return answer({"datasets": page.rows, "pagination": page.pagination})


@datasets.post("")
@datasets.input(CreateDataset)
@datasets.output(DatasetRowAnswer, status_code=201)
@datasets.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def create_dataset(json_data: CreateDataset) -> Response:
    """Make a dataset

    An empty one, to be uploaded into; or with `directory` one that is used where it lies: it is only read, its first
    version is made soon after, and `watch` says what has changed in it. A name that is taken is 409 `dataset_exists`.
    """
    if before := made_before():
        made = services().datasets.get(before.about).dataset
    else:
        made = services().registered.create(json_data.name, current_principal.get(), json_data.fields())
    return answer(made, 201, "created", {"Location": f"{BASE_PATH}/datasets/{made.name}"})


@datasets.get("/<name>")
@datasets.output(DatasetAnswer)
@datasets.doc(responses=[404])
def get_dataset(name: str) -> Response:
    """One dataset

    With its newest version, and the tasks that use any of its versions.
    """
    return answer(services().datasets.get(name))


@datasets.patch("/<name>")
@datasets.input(ChangeDataset)
@datasets.output(DatasetRowAnswer)
@datasets.doc(responses=[400, 404, 409, 415, 422, 503])
def change_dataset(name: str, json_data: ChangeDataset) -> Response:
    """Rename, describe or tag a dataset

    Tasks that use it keep what they use under whichever name it has.
    """
    return answer(services().datasets.change(name, json_data.changes()))


@datasets.delete("/<name>")
@datasets.output(DatasetDeletedAnswer)
@datasets.doc(responses=[404, 409, 503])
def delete_dataset(name: str) -> Response:
    """Delete a dataset

    While a task that has not finished uses it, that is 409 `dataset_in_use` with the tasks in `data.tasks`. For
    finished tasks, `kept_for`, its files are kept until these are deleted: they can be resumed. Those of a registered
    directory stay where they are.
    """
    return answer(services().datasets.delete(name), message="deleted")


@datasets.get("/<name>/caches")
@datasets.input(PageQuery, location="query")
@datasets.output(CacheListAnswer)
@datasets.doc(responses=[404, 422, 503])
def list_caches(name: str, query_data: PageQuery) -> Response:
    """The caches of a dataset that were made ahead, newest first

    Those that one may see; a training uses its own user's alone. `state` is looked at anew: what is `complete` a
    training with the same `key` uses by itself. `POST /training/cache` makes one, `DELETE /training/{task_id}` removes
    it.
    """
    found = list(enumerate(services().caches.of_dataset(name), start=1))
    page = paginate(found, lambda row: row[0], query_data.page())
    return answer({"caches": [cache for _, cache in page.rows], "pagination": page.pagination})


@datasets.get("/<name>/versions")
@datasets.input(PageQuery, location="query")
@datasets.output(VersionListAnswer)
@datasets.doc(responses=[404, 422])
def list_versions(name: str, query_data: PageQuery) -> Response:
    """The versions of a dataset, newest first

    A version never changes; `manifest` names what it holds, and is the same on every server.
    """
    page = services().datasets.get_versions(name, query_data.page())
    return answer({"versions": page.rows, "pagination": page.pagination})


@datasets.get("/<name>/versions/<version>")
@datasets.output(VersionAnswer)
@datasets.doc(responses=[404])
def get_version(name: str, version: str) -> Response:
    """One version

    By its number, by `sha256:…` of its manifest, or `latest`.
    """
    return answer(services().datasets.get_version(name, version))


@datasets.post("/<name>/versions/<version>/restore")
@datasets.output(VersionAnswer, status_code=201)
@datasets.doc(responses=[404, 409, 422, 503])
@idempotent
def restore_version(name: str, version: str) -> Response:
    """Go back to a version

    Makes a new version that holds what this one does; nothing is lost. Of the newest one none is made. It takes no
    body.
    """
    if (before := made_before()) and before.version is not None:
        made = services().datasets.get_version(name, str(before.version))
    else:
        made = services().datasets.restore(name, version, current_principal.get().actor)
    return answer(made, 201, "restored", {"Location": f"{BASE_PATH}/datasets/{name}/versions/{made.version}"})


@datasets.post("/<name>/refresh")
@datasets.output(DatasetAnswer, status_code=202)
@datasets.doc(responses=[404, 409, 503])
def refresh_dataset(name: str) -> Response:
    """Read a registered directory again

    What has changed in it since its newest version becomes a new one: `watch.state` is `reading` until then. It takes
    no body.
    """
    found = services().registered.refresh(name, current_principal.get().actor)
    return answer(found, 202, "reading", {"Location": f"{BASE_PATH}/datasets/{name}"})
