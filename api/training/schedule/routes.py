"""Routes of the schedule of trainings, and of pauses, claims and power limits of GPUs."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access.principal import current_principal
from api.domain.machines.hold import GPUClaims, GPUPause
from api.gpus.power.views import PowerLimitView
from api.training.schedule.schemas import ClaimGPU, PauseGPU, ReplaceSchedule, SetPowerLimit
from api.training.schedule.views import ScheduleView
from api.util.http.base_path import BASE_PATH
from api.web.responses import answer, services
from api.web.schemas import envelope_of

schedule = APIBlueprint("schedule", __name__, url_prefix=BASE_PATH, tag="GPUs")


@schedule.get("/schedule")
@schedule.output(envelope_of(ScheduleView))
@schedule.doc(responses=[503])
def get_schedule() -> Response:
    """Show when trainings may run.

    By weekly windows in local time, for all GPUs or for some.
    """
    return answer(services().training.schedule.show())


@schedule.put("/schedule")
@schedule.input(ReplaceSchedule)
@schedule.output(envelope_of(ScheduleView))
@schedule.doc(responses=[400, 415, 422, 503])
def replace_schedule(json_data: ReplaceSchedule) -> Response:
    """Replace the hours in which trainings may run.

    At the end of a window, trainings stop with a checkpoint; they resume automatically in the next one.
    """
    windows = [each.window() for each in json_data.windows]
    return answer(services().training.schedule.replace(json_data.time_zone, windows, current_principal.get().actor))


@schedule.post("/gpu/<gpu_id>/pause")
@schedule.input(PauseGPU)
@schedule.output(envelope_of(GPUPause))
@schedule.doc(responses=[400, 403, 404, 409, 415, 422, 503])
def pause_gpu(gpu_id: str, json_data: PauseGPU) -> Response:
    """Pause a GPU.

    Its trainings stop with a checkpoint, and resume automatically when the time is over. A second pause replaces the
    first. Only administrators may pause a GPU on which another user's task runs.
    """
    paused = services().training.holds.pause(gpu_id, json_data.seconds, json_data.reason, current_principal.get())
    return answer(paused, message="paused")


@schedule.post("/gpu/<gpu_id>/unpause")
@schedule.output(envelope_of(GPUPause))
@schedule.doc(responses=[403, 404, 503])
def unpause_gpu(gpu_id: str) -> Response:
    """End the pause of a GPU.

    Its trainings resume. Without a pause nothing changes.
    """
    return answer(services().training.holds.unpause(gpu_id, current_principal.get()), message="unpaused")


@schedule.post("/gpu/<gpu_id>/claim")
@schedule.input(ClaimGPU)
@schedule.output(envelope_of(GPUClaims))
@schedule.doc(responses=[400, 403, 404, 409, 415, 422, 503])
def claim_gpu(gpu_id: str, json_data: ClaimGPU) -> Response:
    """Claim a GPU for another program.

    No training starts there until the claim expires or is released; with `NEIGHBOUR_RULE=neighbour_first`, running ones
    leave with a checkpoint. The same name renews a claim. Only administrators may claim a GPU on which no training of
    theirs runs.
    """
    body = json_data
    claims = services().training.holds.claim(
        gpu_id, body.name, body.memory_mb, body.ttl_seconds, current_principal.get()
    )
    return answer(claims, message="claimed")


@schedule.delete("/gpu/<gpu_id>/claim/<name>")
@schedule.output(envelope_of(GPUClaims))
@schedule.doc(responses=[403, 404, 503])
def release_gpu_claim(gpu_id: str, name: str) -> Response:
    """Release a claim on a GPU.

    Waiting trainings may start there at once.
    """
    return answer(services().training.holds.release(gpu_id, name, current_principal.get()), message="released")


@schedule.get("/gpu/<gpu_id>/power-limit")
@schedule.output(envelope_of(PowerLimitView))
@schedule.doc(responses=[404, 503])
def get_power_limit(gpu_id: str) -> Response:
    """Show the power limit of a GPU.

    With its hours, its possible range, and the reason if the driver refuses it.
    """
    return answer(services().gpus.power_limits.show(gpu_id))


@schedule.put("/gpu/<gpu_id>/power-limit")
@schedule.input(SetPowerLimit)
@schedule.output(envelope_of(PowerLimitView))
@schedule.doc(responses=[400, 404, 409, 415, 422, 503])
def set_power_limit(gpu_id: str, json_data: SetPowerLimit) -> Response:
    """Limit the power of a GPU.

    Always or by weekly windows in local time. The driver gets it with the next reading, which only root may do; if it
    refuses, `problem` tells why.
    """
    windows = [each.window() for each in json_data.windows]
    actor = current_principal.get().actor
    limit = services().gpus.power_limits.put(gpu_id, json_data.watts, json_data.time_zone, windows, actor)
    return answer(limit, message="set")


@schedule.delete("/gpu/<gpu_id>/power-limit")
@schedule.output(envelope_of(PowerLimitView))
@schedule.doc(responses=[404, 503])
def remove_power_limit(gpu_id: str) -> Response:
    """Remove the power limit of a GPU.

    The limit that it had before is restored. Without one nothing changes.
    """
    return answer(services().gpus.power_limits.remove(gpu_id, current_principal.get().actor), message="removed")
