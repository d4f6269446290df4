"""Trainings: validate, start, follow, stop, resume."""

from dataclasses import replace
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.access import current_principal
from api.domain.training import ResumeOptions, TrainingRequest
from api.errors import Invalid, Mistake
from api.training.artifacts import newest_first
from api.training.request_routes import StartBody, read_start
from api.training.schemas import (
    ArtifactsAnswer,
    ArtifactsQuery,
    CheckpointsAnswer,
    DeletedAnswer,
    DeleteQuery,
    FileOrder,
    ListQuery,
    MetricsQuery,
    PatchTraining,
    ResumeTraining,
    StoppedTrainingAnswer,
    StopQuery,
    StopTraining,
    TrainingAnswer,
    TrainingEventsAnswer,
    TrainingListAnswer,
    TrainingMetricsAnswer,
    TrainingProgressAnswer,
    ValidationAnswer,
)
from api.util.base_path import BASE_PATH
from api.util.pagination import paginate
from api.util.responses import answer, answer_file
from api.web.context import services
from api.web.idempotency_routes import idempotency_scope, idempotent, made_before
from api.web.optional_body import body_is_optional
from api.web.schemas import PageQuery, file_responses

training = APIBlueprint("training", __name__, url_prefix=f"{BASE_PATH}/training", tag="Training")

#: The answer 200 of a stop, which has the form of its 202.
_STOPPED: dict[int, str] = {
    200: "It has ended.",
    400: "Bad request",
    404: "Not found",
    409: "Conflict",
    415: "Unsupported media type",
    422: "Unprocessable entity",
}


@training.post("/validate")
@training.input(StartBody)
@training.output(ValidationAnswer)
@training.doc(responses=[400, 415, 503])
def validate(json_data: StartBody) -> Response:
    """What starting this request would find and do

    All findings at once, with the plan: the GPUs that it would get now, steps, estimated memory, and the trainer's
    files exactly as they would be written. Nothing is started. The answer is 200 whatever is found: see `valid`.
    """
    parsed, mistakes = read_start(json_data.root)
    return answer(services().training.validate(parsed, mistakes, current_principal.get().owner))


@training.post("/start")
@training.input(StartBody)
@training.output(TrainingAnswer, status_code=201)
@training.doc(responses=[400, 409, 415, 422, 503, 507])
@idempotent
def start(json_data: StartBody) -> Response:
    """Start a training

    It waits in the queue for its GPUs; with `"queue": false` it has them at once or is refused with 409 `gpu_busy`.
    What this machine can never serve is 507, and what its user's quota does not permit 409 `quota_exceeded`.
    `Idempotency-Key` makes a retry safe.
    """
    if before := made_before():
        return _created(services().training.get(before.about))
    parsed, mistakes = read_start(json_data.root)
    parsed = _require_form(parsed, mistakes)
    asks = current_principal.get()
    return _created(services().training.start(parsed, asks.actor, idempotency_scope(), owner=asks.owner))


@training.post("/cache")
@training.input(StartBody)
@training.output(TrainingAnswer, status_code=201)
@training.doc(responses=[400, 409, 415, 422, 503, 507])
@idempotent
def cache(json_data: StartBody) -> Response:
    """Cache a dataset ahead

    The body is a request for a training on versions of datasets. A task of the kind `cache` gets its GPUs, has the
    trainer compute what it needs of the dataset, and ends; a training whose model, settings and versions are the same
    then begins with its first step. Nothing is made twice: what is there is 409 `cache_exists`, what is being made 409
    `cache_building`; `"regenerate_cache": true` makes it anew. It is followed, stopped and deleted as a training is.
    """
    if before := made_before():
        return _created(services().training.get(before.about))
    parsed, mistakes = read_start(json_data.root)
    wanted = replace(_require_form(parsed, mistakes), cache_only=True)
    asks = current_principal.get()
    return _created(services().training.start(wanted, asks.actor, idempotency_scope(), owner=asks.owner))


def _require_form(parsed: TrainingRequest | None, mistakes: list[Mistake]) -> TrainingRequest:
    """The request. Raises Invalid with everything that is wrong with it when its form is."""
    if not mistakes and parsed is not None:
        return parsed
    found = services().training.validate(parsed, mistakes)
    raise Invalid(mistakes=[Mistake(each.pointer, each.message, each.remedy) for each in found.errors])


def _created(task: Any) -> Response:
    return answer(task, 201, "created", {"Location": f"{BASE_PATH}/training/{task.task_id}"})


@training.get("/list")
@training.input(ListQuery, location="query")
@training.output(TrainingListAnswer)
@training.doc(responses=[422])
def get_list(query_data: ListQuery) -> Response:
    """Trainings, newest first

    Those that one may see. With `order=queue` those that wait, in the order in which they are served: by priority,
    then, where tasks belong to users, whose user used less GPU time in the last day, then age. Filters are joined by
    and. Each row has what a list shows; the rest is under `/training/{task_id}`.
    """
    query = query_data
    page = services().training.get_page(query.filter(), query.gpu_id, query.page(), query.order)
    return answer({"tasks": page.rows, "pagination": page.pagination})


@training.post("/stop/<task_id>")
@training.input(StopTraining)
@training.input(StopQuery, location="query")
@training.output(StoppedTrainingAnswer, status_code=202)
@training.doc(responses=_STOPPED)
@body_is_optional
def stop(task_id: str, json_data: StopTraining, query_data: StopQuery) -> Response:
    """Stop a training

    It is asked to save a checkpoint and quit; when that takes longer than `timeout_seconds`, it is terminated, and then
    killed. `force` leaves the checkpoint out. `stop.rung` says how far that is. Asked again: the same answer. With
    `wait` the answer comes when it has ended, or after so many seconds. What has ended is 200, what is under way 202.
    """
    return _stop(task_id, json_data, query_data.wait)


@training.post("/<task_id>/stop")
@training.input(StopTraining)
@training.input(StopQuery, location="query")
@training.output(StoppedTrainingAnswer, status_code=202)
@training.doc(responses=_STOPPED)
@body_is_optional
def stop_task(task_id: str, json_data: StopTraining, query_data: StopQuery) -> Response:
    """Stop a training

    The same as `/training/stop/{task_id}`.
    """
    return _stop(task_id, json_data, query_data.wait)


def _stop(task_id: str, how: StopTraining, wait: float) -> Response:
    task = services().training.stop(task_id, how.force, how.timeout_seconds, current_principal.get().actor, wait)
    status = 200 if task.status.is_finished else 202
    return answer(task, status, str(task.status), {"Location": f"{BASE_PATH}/training/{task_id}"})


@training.post("/resume/<task_id>")
@training.input(ResumeTraining)
@training.output(TrainingAnswer, status_code=202)
@training.doc(responses=[400, 404, 409, 415, 422, 503, 507])
@body_is_optional
def resume(task_id: str, json_data: ResumeTraining) -> Response:
    """Let a finished training go on from a checkpoint

    From the last complete one, unless `checkpoint` names another. `config` and `dataset` are merged into what it had
    (null removes); TOML texts replace it. 409 `no_checkpoint` when there is none: then restart it.
    """
    service = services().training
    options = ResumeOptions(json_data.checkpoint, json_data.reset_dataloader, json_data.reset_optimizer)
    task = service.resume(task_id, options, json_data.changes, current_principal.get().actor)
    return answer(task, 202, "queued", {"Location": f"{BASE_PATH}/training/{task_id}"})


@training.post("/<task_id>/save")
@training.output(TrainingAnswer, status_code=202)
@training.doc(responses=[404, 409, 503])
def save(task_id: str) -> Response:
    """Save a checkpoint now

    After its present step the trainer saves one and goes on; an event of the type `checkpoint` tells when it is there.
    409 `not_training` while it loads or caches, and when it does not run. It takes no body.
    """
    task = services().saving.save(task_id, current_principal.get().actor)
    return answer(task, 202, "asked", {"Location": f"{BASE_PATH}/training/{task_id}/checkpoints"})


@training.post("/restart/<task_id>")
@training.output(TrainingAnswer, status_code=201)
@training.doc(responses=[404, 409, 422, 503, 507])
@idempotent
def restart(task_id: str) -> Response:
    """Start a finished training anew

    A new task with the same request; `restarted_from` names the old one. It takes no body.
    """
    if before := made_before():
        return _created(services().training.get(before.about))
    asks = current_principal.get()
    return _created(services().training.restart(task_id, asks.actor, idempotency_scope(), asks.owner))


@training.get("/<task_id>")
@training.output(TrainingAnswer)
@training.doc(responses=[404])
def get_task(task_id: str) -> Response:
    """Everything about a training

    Its request, attempts, progress, speed, memory, cause and remedy of a failure, and what it waits for.
    """
    return answer(services().training.get(task_id))


@training.patch("/<task_id>")
@training.input(PatchTraining)
@training.output(TrainingAnswer)
@training.doc(responses=[400, 404, 415, 422])
def patch_task(task_id: str, json_data: PatchTraining) -> Response:
    """Change priority, name or description

    At any time; a new priority counts at the next look at the queue.
    """
    changes = json_data.model_dump(exclude_unset=True)
    return answer(services().training.patch(task_id, changes, current_principal.get().actor))


@training.delete("/<task_id>")
@training.input(DeleteQuery, location="query")
@training.output(DeletedAnswer)
@training.doc(responses=[404, 409, 422])
def delete_task(task_id: str, query_data: DeleteQuery) -> Response:
    """Delete a finished training

    Its files stay, unless `files=true`. A cache goes with its task, unless trainings use it: 409 `cache_in_use`.
    """
    return answer(services().training.delete(task_id, query_data.files), message="deleted")


@training.get("/<task_id>/progress")
@training.output(TrainingProgressAnswer)
@training.doc(responses=[404])
def get_progress(task_id: str) -> Response:
    """How far a training is, and how well it goes

    Stage, epoch, step, progress in %, speed, time left and the latest metrics; null where the trainer has not
    said it yet.
    """
    return answer(services().training.get_progress(task_id))


@training.get("/<task_id>/metrics")
@training.input(MetricsQuery, location="query")
@training.output(TrainingMetricsAnswer)
@training.doc(responses=[404, 422])
def get_metrics(task_id: str, query_data: MetricsQuery) -> Response:
    """A metric over steps or epochs

    Thinned out to `limit` values so that no peak is lost. A value that was no number is null, and counted.
    """
    return answer(services().training.get_metrics(task_id, **dict(query_data)))


@training.get("/<task_id>/checkpoints")
@training.output(CheckpointsAnswer)
@training.doc(responses=[404])
def get_checkpoints(task_id: str) -> Response:
    """The checkpoints of a training, oldest first

    What can be resumed from; `complete` says whether a checkpoint is whole.
    """
    return answer(services().training.get_checkpoints(task_id))


@training.get("/<task_id>/artifacts")
@training.input(ArtifactsQuery, location="query")
@training.output(ArtifactsAnswer)
@training.doc(responses=[404, 422])
def get_artifacts(task_id: str, query_data: ArtifactsQuery) -> Response:
    """The files that a training made

    Saved models, checkpoints, samples and configurations of its output directory, with their sizes: by path, or the
    newest first.
    """
    files = services().training.get_artifacts(task_id)
    found = list(enumerate(newest_first(files) if query_data.order is FileOrder.NEWEST else files, start=1))
    page = paginate(found, lambda row: row[0], query_data.page())
    total = sum(artifact.size_bytes for _, artifact in found)
    rows = [artifact for _, artifact in page.rows]
    return answer({"artifacts": rows, "total_bytes": total, "pagination": page.pagination})


@training.get("/<task_id>/artifacts/<path:path>")
@training.doc(responses=file_responses("The file.", "No such file.", "application/octet-stream"))
def get_artifact(task_id: str, path: str) -> Response:
    """Download a file

    Streamed; a saved model is called by its task and epoch or step. `Range` asks for a part, so that a download that
    broke off can be continued.
    """
    return answer_file(request.environ, services().training.open_artifact(task_id, path))


@training.get("/<task_id>/events")
@training.input(PageQuery, location="query")
@training.output(TrainingEventsAnswer)
@training.doc(responses=[404, 422])
def get_events(task_id: str, query_data: PageQuery) -> Response:
    """What happened to a training, oldest first: with who and why

    Each change of its state and each notable moment; an event is never changed.
    """
    page = services().training.get_events(task_id, query_data.page())
    return answer({"events": page.rows, "pagination": page.pagination})
