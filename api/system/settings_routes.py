"""Settings that can be changed without a restart."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access import current_principal
from api.system.settings_schemas import ChangeSettings, RunTimeSettingListAnswer
from api.util.base_path import BASE_PATH
from api.web.responses import answer, services

settings = APIBlueprint("settings", __name__, url_prefix=f"{BASE_PATH}/settings", tag="System")


@settings.get("")
@settings.output(RunTimeSettingListAnswer)
def list_settings() -> Response:
    """List the settings that can be changed without a restart.

    Each has its value and the `source` of it: the `environment` wins over the `database`, which wins over the
    `default`. Secrets are masked. `fixed_by` names the setting of the environment that prevents a change.
    """
    return answer(services().run_time_settings.list())


@settings.patch("")
@settings.input(ChangeSettings)
@settings.output(RunTimeSettingListAnswer)
@settings.doc(responses=[400, 409, 415, 422, 503])
def change_settings(json_data: ChangeSettings) -> Response:
    """Change settings without a restart.

    All values are checked like those of the environment, and all or none are stored. null removes a value. Every server
    on the database uses the new values within 5 s. 409 `setting_fixed`: the environment sets one of them. A new
    `CAPTION_ENDPOINT` removes the stored `CAPTION_KEY` unless the request has one.
    """
    changed = services().run_time_settings.change(json_data.values, current_principal.get().actor)
    return answer(changed, message="changed")
