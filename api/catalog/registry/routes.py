"""Routes of the library of saved models."""

from apiflask import APIBlueprint
from flask import Response, request

from api.catalog.registry.models import ModelDeleted, ModelVersionView, RegisteredModelView
from api.catalog.registry.schemas import (
    ChangeModel,
    ChangeModelVersion,
    ModelVersionList,
    RegisterModel,
    RegistryList,
    RegistryListQuery,
    WriteMetadata,
)
from api.domain.access.principal import current_principal
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, answer_file, body_is_optional, services
from api.web.schemas import PageQuery, envelope_of, file_responses

registry = APIBlueprint("registry", __name__, url_prefix=f"{BASE_PATH}/models/registry", tag="Models")


@registry.get("")
@registry.input(RegistryListQuery, location="query")
@registry.output(envelope_of(RegistryList))
@registry.doc(responses=[422])
def list_registered_models(query_data: RegistryListQuery) -> Response:
    """List saved models, newest first.

    The list holds the models that you may see, each with its newest version and its aliases. A model must match all
    filters.
    """
    page = services().catalog.registry.get_page(query_data.search, query_data.owner, query_data.tag, query_data.page())
    return answer({"models": page.rows, "pagination": page.pagination})


@registry.post("")
@registry.input(RegisterModel)
@registry.output(envelope_of(ModelVersionView), status_code=201)
@registry.doc(responses=[400, 404, 409, 415, 422, 503])
@idempotent
def register_model(json_data: RegisterModel) -> Response:
    """Register a training's file as a version of a model.

    The version gets the model's next number. A missing model is created. The format is read from the file's header,
    and the origin is stored with the version. The service keeps its own copy of the file, with the
    metadata of a download, and of the samples that were rendered with it, except rejected ones.
    """
    given = json_data.model_dump(exclude={"name", "task_id", "artifact"})
    principal = current_principal.get()
    if (before := earlier_result()) and before.version is not None:
        made = services().catalog.registry.get_version(json_data.name, str(before.version))
    else:
        task_id, artifact = json_data.task_id, json_data.artifact
        registered = services().catalog.registry.register(json_data.name, task_id, artifact, principal, **given)
        made = services().catalog.samples.add_rendered(registered, task_id, artifact, principal.actor)
    location = f"{BASE_PATH}/models/registry/{made.model}/versions/{made.version}"
    return answer(made, 201, "registered", {"Location": location})


@registry.get("/<name>")
@registry.output(envelope_of(RegisteredModelView))
@registry.doc(responses=[404])
def get_registered_model(name: str) -> Response:
    """Get a saved model.

    The answer has the newest version and the version numbers of the aliases.
    """
    return answer(services().catalog.registry.get(name))


@registry.patch("/<name>")
@registry.input(ChangeModel)
@registry.output(envelope_of(RegisteredModelView))
@registry.doc(responses=[400, 404, 409, 415, 422, 503])
def change_registered_model(name: str, json_data: ChangeModel) -> Response:
    """Rename, describe or tag a model.

    The file names of its versions do not change.
    """
    return answer(services().catalog.registry.change(name, json_data.changes()))


@registry.delete("/<name>")
@registry.output(envelope_of(ModelDeleted))
@registry.doc(responses=[404, 409, 503])
def delete_registered_model(name: str) -> Response:
    """Delete a model with all its versions.

    The answer is 409 `version_in_use` while a version has an alias or an unfinished task needs it.
    """
    return answer(services().catalog.registry.delete(name), message="deleted")


@registry.get("/<name>/versions")
@registry.input(PageQuery, location="query")
@registry.output(envelope_of(ModelVersionList))
@registry.doc(responses=[404, 422])
def list_model_versions(name: str, query_data: PageQuery) -> Response:
    """List the versions of a model, newest first.

    The file of a version never changes. Its notes, tags and aliases can change.
    """
    page = services().catalog.registry.get_versions(name, query_data.page())
    return answer({"versions": page.rows, "pagination": page.pagination})


@registry.get("/<name>/versions/<version>")
@registry.output(envelope_of(ModelVersionView))
@registry.doc(responses=[404])
def get_model_version(name: str, version: str) -> Response:
    """Get a version.

    `version` is a number, an alias or `latest`. The answer has its format, its origin and the path of its file.
    """
    return answer(services().catalog.registry.get_version(name, version))


@registry.patch("/<name>/versions/<version>")
@registry.input(ChangeModelVersion)
@registry.output(envelope_of(ModelVersionView))
@registry.doc(responses=[400, 404, 409, 415, 422, 503])
def change_model_version(name: str, version: str, json_data: ChangeModelVersion) -> Response:
    """Change notes, tags or aliases of a version.

    An alias names one version. Given to this version, it moves from any other. With COMFYUI_LORAS, the links are
    updated.
    """
    changed = services().catalog.registry.change_version(name, version, json_data.changes(), json_data.wanted_aliases())
    return answer(changed)


@registry.delete("/<name>/versions/<version>")
@registry.output(envelope_of(ModelDeleted))
@registry.doc(responses=[404, 409, 503])
def delete_model_version(name: str, version: str) -> Response:
    """Delete a version.

    Its number is not used again. The answer is 409 `version_in_use` while the version has an alias or an unfinished
    task needs it.
    """
    return answer(services().catalog.registry.delete_version(name, version), message="deleted")


@registry.get("/<name>/versions/<version>/file")
@registry.doc(responses=file_responses("The file.", "No such version.", "application/octet-stream"))
def get_model_file(name: str, version: str) -> Response:
    """Download the file of a version.

    The file is streamed under a name like `cats-v3-epoch12.safetensors`. An interrupted download can be continued with
    `Range`.
    """
    return answer_file(request.environ, services().catalog.registry.open_file(name, version))


@registry.post("/<name>/versions/<version>/metadata")
@registry.input(WriteMetadata)
@registry.output(envelope_of(ModelVersionView), status_code=201)
@registry.doc(responses=[400, 404, 409, 415, 422, 503])
@body_is_optional
@idempotent
def write_model_metadata(name: str, version: str, json_data: WriteMetadata) -> Response:
    """Add a version with more metadata in its header.

    The header gets metadata that the trainer omits, under the keys that other programs read: name, base model, rank,
    epoch or step, task and trigger word. The tensors stay the same.
    """
    principal = current_principal.get()
    if (before := earlier_result()) and before.version is not None:
        made = services().catalog.registry.get_version(name, str(before.version))
    else:
        made = services().catalog.registry.write_metadata(
            name, version, json_data.trigger, json_data.metadata, principal
        )
    location = f"{BASE_PATH}/models/registry/{made.model}/versions/{made.version}"
    return answer(made, 201, "written", {"Location": location})
