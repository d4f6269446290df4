"""Routes of the end of an idle machine."""

from apiflask import APIBlueprint
from flask import Response
from pydantic import ConfigDict, Field

from api.domain.access.principal import current_principal
from api.domain.alerts.idle_end import IdleView
from api.util.http.base_path import BASE_PATH
from api.util.http.validation import Strict
from api.web.responses import answer, body_is_optional, services
from api.web.schemas import envelope_of

idle = APIBlueprint("idle", __name__, url_prefix=f"{BASE_PATH}/system/idle", tag="System")


#: A hold of a month or more is a change of the settings.
LONGEST_HOLD = 30 * 24 * 3600


class HoldIdle(Strict):
    """How long the machine stays on although it is idle."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"seconds": 7200}})

    seconds: float | None = Field(None, gt=0, le=LONGEST_HOLD, description="null: until the hold is ended")


@idle.get("")
@idle.output(envelope_of(IdleView))
@idle.doc(responses=[503])
def get_idle() -> Response:
    """Show when this machine ends because nothing runs on it.

    WHEN_IDLE_MINUTES after the last work a countdown begins. Until its end the machine can be held.
    """
    return answer(services().alerts.idle_ends.find())


@idle.post("/hold")
@idle.input(HoldIdle)
@idle.output(envelope_of(IdleView))
@idle.doc(responses=[400, 403, 409, 415, 422, 503])
@body_is_optional
def hold_idle(json_data: HoldIdle) -> Response:
    """Hold this machine.

    It stays on until the time is over or the hold is ended; then another countdown begins. A second hold replaces the
    first. Only administrators may shorten the hold of another user.
    """
    return answer(services().alerts.idle_ends.hold(json_data.seconds, current_principal.get()), message="held")


@idle.delete("/hold")
@idle.output(envelope_of(IdleView))
@idle.doc(responses=[403, 503])
def release_idle() -> Response:
    """End the hold of this machine.

    If its end has failed, it is tried again after another countdown. Without a hold nothing else changes.
    """
    return answer(services().alerts.idle_ends.release(current_principal.get()), message="released")
