"""Routes for datasets and their versions."""

from apiflask import APIBlueprint
from flask import Response

from api.datasets.schemas import CacheList, ChangeDataset, CreateDataset, DatasetList, DatasetListQuery, VersionList
from api.datasets.views import DatasetDeleted, DatasetDetails, DatasetRow, VersionView
from api.domain.access.principal import current_principal
from api.util.http.base_path import BASE_PATH
from api.util.http.pagination import paginate_by_position
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, services
from api.web.schemas import PageQuery, envelope_of

datasets = APIBlueprint("datasets", __name__, url_prefix=f"{BASE_PATH}/datasets", tag="Datasets")


@datasets.get("")
@datasets.input(DatasetListQuery, location="query")
@datasets.output(envelope_of(DatasetList))
@datasets.doc(responses=[422])
def list_datasets(query_data: DatasetListQuery) -> Response:
    """List datasets, newest first.

    Only datasets that the caller may see. Filters are combined with AND.
    """
    page = services().datasets.service.get_page(query_data.search, query_data.owner, query_data.page())
    return answer({"datasets": page.rows, "pagination": page.pagination})


@datasets.post("")
@datasets.input(CreateDataset)
@datasets.output(envelope_of(DatasetRow), status_code=201)
@datasets.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def create_dataset(json_data: CreateDataset) -> Response:
    """Create a dataset.

    Creates an empty dataset for uploads. With `directory` it registers a directory on the server, which is only read.
    Its first version is created soon after, and `watch` reports later changes. An existing name is 409
    `dataset_exists`.
    """
    if before := earlier_result():
        made = services().datasets.service.get(before.about).dataset
    else:
        made = services().datasets.registered.create(json_data.name, current_principal.get(), json_data.fields())
    return answer(made, 201, "created", {"Location": f"{BASE_PATH}/datasets/{made.name}"})


@datasets.get("/<name>")
@datasets.output(envelope_of(DatasetDetails, "Dataset"))
@datasets.doc(responses=[404])
def get_dataset(name: str) -> Response:
    """Return a dataset.

    Includes its newest version and the tasks that use any of its versions.
    """
    return answer(services().datasets.service.get(name))


@datasets.patch("/<name>")
@datasets.input(ChangeDataset)
@datasets.output(envelope_of(DatasetRow))
@datasets.doc(responses=[400, 404, 409, 415, 422, 503])
def change_dataset(name: str, json_data: ChangeDataset) -> Response:
    """Rename, describe or tag a dataset.

    Tasks that use the dataset are not affected by a new name.
    """
    return answer(services().datasets.service.change(name, json_data.changes()))


@datasets.delete("/<name>")
@datasets.output(envelope_of(DatasetDeleted))
@datasets.doc(responses=[404, 409, 503])
def delete_dataset(name: str) -> Response:
    """Delete a dataset.

    If an unfinished task uses it, the response is 409 `dataset_in_use` with the tasks in `data.tasks`. If finished
    tasks use it (`kept_for`), its files are kept until these tasks are deleted, so that they can be resumed. Files of
    a registered directory are never deleted.
    """
    return answer(services().datasets.service.delete(name), message="deleted")


@datasets.get("/<name>/caches")
@datasets.input(PageQuery, location="query")
@datasets.output(envelope_of(CacheList))
@datasets.doc(responses=[404, 422, 503])
def list_dataset_caches(name: str, query_data: PageQuery) -> Response:
    """List the caches that were built for a dataset, newest first.

    Only caches that the caller may see; a training uses only caches of its own user. `state` is checked on each
    request. A training with the same `key` uses a `complete` cache automatically. `POST /training/cache` builds one,
    `DELETE /training/{task_id}` removes it.
    """
    page = paginate_by_position(services().datasets.caches.of_dataset(name), query_data.page())
    return answer({"caches": page.rows, "pagination": page.pagination})


@datasets.get("/<name>/versions")
@datasets.input(PageQuery, location="query")
@datasets.output(envelope_of(VersionList))
@datasets.doc(responses=[404, 422])
def list_dataset_versions(name: str, query_data: PageQuery) -> Response:
    """List the versions of a dataset, newest first.

    A version never changes. `manifest` identifies its content and is the same on every server.
    """
    page = services().datasets.service.get_versions(name, query_data.page())
    return answer({"versions": page.rows, "pagination": page.pagination})


@datasets.get("/<name>/versions/<version>")
@datasets.output(envelope_of(VersionView))
@datasets.doc(responses=[404])
def get_dataset_version(name: str, version: str) -> Response:
    """Return a version.

    Selected by number, by `sha256:…` of its manifest, or `latest`.
    """
    return answer(services().datasets.service.get_version(name, version))


@datasets.post("/<name>/versions/<version>/restore")
@datasets.output(envelope_of(VersionView), status_code=201)
@datasets.doc(responses=[404, 409, 422, 503])
@idempotent
def restore_dataset_version(name: str, version: str) -> Response:
    """Restore a version.

    Creates a new version with the content of this one, so nothing is lost. Restoring the newest version creates none.
    The request has no body.
    """
    if (before := earlier_result()) and before.version is not None:
        made = services().datasets.service.get_version(name, str(before.version))
    else:
        made = services().datasets.service.restore(name, version, current_principal.get().actor)
    return answer(made, 201, "restored", {"Location": f"{BASE_PATH}/datasets/{name}/versions/{made.version}"})


@datasets.post("/<name>/refresh")
@datasets.output(envelope_of(DatasetDetails, "Dataset"), status_code=202)
@datasets.doc(responses=[404, 409, 503])
def refresh_dataset(name: str) -> Response:
    """Read a registered directory again.

    Changes since the newest version become a new version; until then `watch.state` is `reading`. The request has no
    body.
    """
    found = services().datasets.registered.refresh(name, current_principal.get().actor)
    return answer(found, 202, "reading", {"Location": f"{BASE_PATH}/datasets/{name}"})
