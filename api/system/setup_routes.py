"""The checklist of a new installation."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access import current_principal
from api.system.setup_schemas import SetupAnswer
from api.util.base_path import BASE_PATH
from api.web.responses import answer, services

setup = APIBlueprint("setup", __name__, url_prefix=f"{BASE_PATH}/system/setup", tag="System")


@setup.get("")
@setup.output(SetupAnswer)
@setup.doc(responses=[503])
def get_setup() -> Response:
    """Get the checklist of a new installation.

    Trainer, models, captions, a first dataset and training, notifications and keys: each with its state and the fix,
    and the settings that `PATCH /settings` can change for it. Paths and suggestions are for administrators.
    """
    return answer(services().setup.get(current_principal.get()))
