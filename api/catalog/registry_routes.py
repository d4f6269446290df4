"""Registered models: results as named models with numbered versions and aliases."""

from apiflask import APIBlueprint
from flask import Response, request

from api.catalog.registry_schemas import (
    ChangeModel,
    ChangeModelVersion,
    ModelDeletedAnswer,
    ModelVersionAnswer,
    ModelVersionListAnswer,
    RegisteredModelAnswer,
    RegisterModel,
    RegistryListAnswer,
    RegistryListQuery,
    WriteMetadata,
)
from api.domain.access import current_principal
from api.util.base_path import BASE_PATH
from api.util.responses import answer, answer_file
from api.web.context import services
from api.web.idempotency_routes import idempotent, made_before
from api.web.optional_body import body_is_optional
from api.web.schemas import PageQuery, file_responses

registry = APIBlueprint("registry", __name__, url_prefix=f"{BASE_PATH}/models/registry", tag="Models")


@registry.get("")
@registry.input(RegistryListQuery, location="query")
@registry.output(RegistryListAnswer)
@registry.doc(responses=[422])
def list_registered(query_data: RegistryListQuery) -> Response:
    """Registered models, newest first

    Those that one may see, each with its newest version and its aliases. Filters are joined by and.
    """
    page = services().registry.get_page(query_data.search, query_data.owner, query_data.tag, query_data.page())
    return answer({"models": page.rows, "pagination": page.pagination})


@registry.post("")
@registry.input(RegisterModel)
@registry.output(ModelVersionAnswer, status_code=201)
@registry.doc(responses=[400, 404, 409, 415, 422, 503])
@idempotent
def register(json_data: RegisterModel) -> Response:
    """Make a training's file a version of a named model

    The next number of that model, which is made where there is none. What the file is, is read from its header; what it
    came from is kept with it. The bytes are the service's own from then on.
    """
    given = json_data.model_dump(exclude={"name", "task_id", "artifact"})
    asks = current_principal.get()
    if (before := made_before()) and before.version is not None:
        made = services().registry.get_version(json_data.name, str(before.version))
    else:
        made = services().registry.register(json_data.name, json_data.task_id, json_data.artifact, asks, **given)
    where = f"{BASE_PATH}/models/registry/{made.model}/versions/{made.version}"
    return answer(made, 201, "registered", {"Location": where})


@registry.get("/<name>")
@registry.output(RegisteredModelAnswer)
@registry.doc(responses=[404])
def get_registered(name: str) -> Response:
    """One registered model

    With its newest version, and the numbers of those that have aliases.
    """
    return answer(services().registry.get(name))


@registry.patch("/<name>")
@registry.input(ChangeModel)
@registry.output(RegisteredModelAnswer)
@registry.doc(responses=[400, 404, 409, 415, 422, 503])
def change_registered(name: str, json_data: ChangeModel) -> Response:
    """Rename, describe or tag a model

    Its versions keep the names of their downloads.
    """
    return answer(services().registry.change(name, json_data.changes()))


@registry.delete("/<name>")
@registry.output(ModelDeletedAnswer)
@registry.doc(responses=[404, 409, 503])
def delete_registered(name: str) -> Response:
    """Delete a model with all its versions

    While one of them has an alias, or a task needs it that has not finished, that is 409 `version_in_use`.
    """
    return answer(services().registry.delete(name), message="deleted")


@registry.get("/<name>/versions")
@registry.input(PageQuery, location="query")
@registry.output(ModelVersionListAnswer)
@registry.doc(responses=[404, 422])
def list_model_versions(name: str, query_data: PageQuery) -> Response:
    """The versions of a model, newest first

    A version's bytes never change; its notes, tags and aliases do.
    """
    page = services().registry.get_versions(name, query_data.page())
    return answer({"versions": page.rows, "pagination": page.pagination})


@registry.get("/<name>/versions/<version>")
@registry.output(ModelVersionAnswer)
@registry.doc(responses=[404])
def get_model_version(name: str, version: str) -> Response:
    """One version

    By its number, an alias, or `latest`: what it is, what it came from, and where its file is.
    """
    return answer(services().registry.get_version(name, version))


@registry.patch("/<name>/versions/<version>")
@registry.input(ChangeModelVersion)
@registry.output(ModelVersionAnswer)
@registry.doc(responses=[400, 404, 409, 415, 422, 503])
def change_model_version(name: str, version: str, json_data: ChangeModelVersion) -> Response:
    """Change notes, tags or aliases of a version

    An alias stands for one version: given to this one, the other loses it. With COMFYUI_LORAS the links there follow.
    """
    changed = services().registry.change_version(name, version, json_data.changes(), json_data.wanted_aliases())
    return answer(changed)


@registry.delete("/<name>/versions/<version>")
@registry.output(ModelDeletedAnswer)
@registry.doc(responses=[404, 409, 503])
def delete_model_version(name: str, version: str) -> Response:
    """Delete a version

    Its number is not given again. With an alias, or while a task needs it that has not finished, that is 409
    `version_in_use`.
    """
    return answer(services().registry.delete_version(name, version), message="deleted")


@registry.get("/<name>/versions/<version>/file")
@registry.doc(responses=file_responses("The file.", "No such version.", "application/octet-stream"))
def get_model_file(name: str, version: str) -> Response:
    """Download the file of a version

    Streamed, as `cats-v3-epoch12.safetensors`. `Range` asks for a part, so that a download that broke off can be
    continued.
    """
    return answer_file(request.environ, services().registry.open_file(name, version))


@registry.post("/<name>/versions/<version>/metadata")
@registry.input(WriteMetadata)
@registry.output(ModelVersionAnswer, status_code=201)
@registry.doc(responses=[400, 404, 409, 415, 422, 503])
@body_is_optional
@idempotent
def write_metadata(name: str, version: str, json_data: WriteMetadata) -> Response:
    """Make a version with more metadata in its header

    What the trainer leaves out: name, base model, rank, epoch or step, task and trigger word, under the keys that other
    programs look for. The tensors are the same bytes.
    """
    asks = current_principal.get()
    if (before := made_before()) and before.version is not None:
        made = services().registry.get_version(name, str(before.version))
    else:
        made = services().registry.write_metadata(name, version, json_data.trigger, json_data.metadata, asks)
    where = f"{BASE_PATH}/models/registry/{made.model}/versions/{made.version}"
    return answer(made, 201, "written", {"Location": where})
