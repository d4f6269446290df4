"""Routes of the presets that users save."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access.principal import current_principal
from api.presets.models import OwnPreset, PresetDeleted
from api.presets.schemas import ChangePreset, CreatePreset, OwnPresetList, PresetsQuery
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, services
from api.web.schemas import envelope_of

presets = APIBlueprint("presets", __name__, url_prefix=f"{BASE_PATH}/presets", tag="Training")


@presets.get("")
@presets.input(PresetsQuery, location="query")
@presets.output(envelope_of(OwnPresetList))
@presets.doc(responses=[422])
def list_own_presets(query_data: PresetsQuery) -> Response:
    """List your presets and those that other users share, newest first.

    `/models/{id}/presets` has the built-in presets.
    """
    page = services().presets.get_page(query_data.model_type, current_principal.get(), query_data.page())
    return answer({"presets": page.rows, "pagination": page.pagination})


@presets.post("")
@presets.input(CreatePreset)
@presets.output(envelope_of(OwnPreset), status_code=201)
@presets.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def create_preset(json_data: CreatePreset) -> Response:
    """Save the settings of a training under a name.

    Keys, values and bounds are checked as in `/training/validate`, but no files. A user can have 200 presets.
    """
    principal = current_principal.get()
    if before := earlier_result():
        made = services().presets.get(before.about, principal)
    else:
        made = services().presets.add(**json_data.model_dump(), by=principal)
    return answer(made, 201, "saved", {"Location": f"{BASE_PATH}/presets/{made.preset_id}"})


@presets.get("/<preset_id>")
@presets.output(envelope_of(OwnPreset))
@presets.doc(responses=[404])
def get_own_preset(preset_id: str) -> Response:
    """Get a preset.

    `settings` and `dataset` are parts of a request for `/training/start`.
    """
    return answer(services().presets.get(preset_id, current_principal.get()))


@presets.patch("/<preset_id>")
@presets.input(ChangePreset)
@presets.output(envelope_of(OwnPreset))
@presets.doc(responses=[400, 404, 409, 415, 422, 503])
def change_preset(preset_id: str, json_data: ChangePreset) -> Response:
    """Rename, share or replace the settings of a preset.

    Only its owner and administrators may change it.
    """
    return answer(services().presets.change(preset_id, json_data.changes(), current_principal.get()))


@presets.delete("/<preset_id>")
@presets.output(envelope_of(PresetDeleted))
@presets.doc(responses=[404, 503])
def delete_preset(preset_id: str) -> Response:
    """Delete a preset.

    Trainings that were started with it stay as they are.
    """
    deleted = services().presets.delete(preset_id, current_principal.get())
    return answer(PresetDeleted(deleted.preset_id), message="deleted")
