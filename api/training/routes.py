"""Routes for trainings: validate, start, follow, stop, resume."""

from dataclasses import replace
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.access import current_principal
from api.domain.training import ResumeOptions, TrainingRequest
from api.errors import Finding, Invalid
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
from api.web.idempotency_routes import earlier_result, idempotency_scope, idempotent
from api.web.optional_body import body_is_optional
from api.web.schemas import PageQuery, file_responses

training = APIBlueprint("training", __name__, url_prefix=f"{BASE_PATH}/training", tag="Training")

#: Descriptions of a stop's other answers. 200 has the same form as 202.
_STOPPED: dict[int, str] = {
    200: "The training has ended.",
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
def validate_training(json_data: StartBody) -> Response:
    """Check a request and show its plan.

    Returns all findings at once and the plan: the GPUs that it would get now, steps, estimated memory, and the
    trainer's files exactly as they would be written. Nothing is started. The status is 200 whatever the findings; see
    `valid`.
    """
    parsed, mistakes = read_start(json_data.root)
    return answer(services().training.validate(parsed, mistakes, current_principal.get().owner))


@training.post("/start")
@training.input(StartBody)
@training.output(TrainingAnswer, status_code=201)
@training.doc(responses=[400, 409, 415, 422, 503, 507])
@idempotent
def start_training(json_data: StartBody) -> Response:
    """Start a training.

    It waits in the queue for its GPUs. With `"queue": false` it gets them immediately or is rejected with 409
    `gpu_busy`. 507 means that this machine can never serve the request, 409 `quota_exceeded` that the user's quota does
    not permit it. `Idempotency-Key` makes retries safe.
    """
    if before := earlier_result():
        return _created(services().training.get(before.about))
    parsed, mistakes = read_start(json_data.root)
    parsed = _require_form(parsed, mistakes)
    principal = current_principal.get()
    return _created(services().training.start(parsed, principal.actor, idempotency_scope(), owner=principal.owner))


@training.post("/cache")
@training.input(StartBody)
@training.output(TrainingAnswer, status_code=201)
@training.doc(responses=[400, 409, 415, 422, 503, 507])
@idempotent
def cache_dataset(json_data: StartBody) -> Response:
    """Build the cache of a dataset.

    The body is a request for a training with dataset versions. A task of the kind `cache` gets its GPUs, lets the
    trainer compute the cache and ends. A training with the same model, settings and versions then starts with its first
    step. If the cache exists, the answer is 409 `cache_exists`; if a task is building it, 409 `cache_building`.
    `"regenerate_cache": true` rebuilds it. Cache tasks are followed, stopped and deleted like trainings.
    """
    if before := earlier_result():
        return _created(services().training.get(before.about))
    parsed, mistakes = read_start(json_data.root)
    requested = replace(_require_form(parsed, mistakes), cache_only=True)
    principal = current_principal.get()
    return _created(services().training.start(requested, principal.actor, idempotency_scope(), owner=principal.owner))


def _require_form(parsed: TrainingRequest | None, mistakes: list[Finding]) -> TrainingRequest:
    """Return the request. Raise Invalid with all errors if its form is invalid."""
    if not mistakes and parsed is not None:
        return parsed
    found = services().training.validate(parsed, mistakes)
    raise Invalid(mistakes=[Finding(each.pointer, each.message, each.remedy) for each in found.errors])


def _created(task: Any) -> Response:
    return answer(task, 201, "created", {"Location": f"{BASE_PATH}/training/{task.task_id}"})


@training.get("/list")
@training.input(ListQuery, location="query")
@training.output(TrainingListAnswer)
@training.doc(responses=[422])
def list_trainings(query_data: ListQuery) -> Response:
    """List trainings, newest first.

    Shows the trainings that the user may see. `order=queue` shows queued trainings in the order in which they will
    start: by priority, then by the GPU time that their users had in the last day, then by age. Filters are combined
    with AND. Rows are short; `/training/{task_id}` has the rest.
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
def stop_training(task_id: str, json_data: StopTraining, query_data: StopQuery) -> Response:
    """Stop a training.

    The trainer is asked to save a checkpoint and quit. After `timeout_seconds` it is terminated, and then killed.
    `force` skips the checkpoint. `stop.rung` shows the current step. Repeated requests get the same answer. With `wait`
    the answer comes when the training has ended, or after that many seconds. The status is 200 if it has ended,
    otherwise 202.
    """
    return _stop(task_id, json_data, query_data.wait)


@training.post("/<task_id>/stop")
@training.input(StopTraining)
@training.input(StopQuery, location="query")
@training.output(StoppedTrainingAnswer, status_code=202)
@training.doc(responses=_STOPPED)
@body_is_optional
def stop_training_task(task_id: str, json_data: StopTraining, query_data: StopQuery) -> Response:
    """Stop a training.

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
def resume_training(task_id: str, json_data: ResumeTraining) -> Response:
    """Resume a finished training from a checkpoint.

    Uses the last complete checkpoint unless `checkpoint` names another. `config` and `dataset` are merged into the
    task's own (null removes a key); TOML texts replace them. 409 `no_checkpoint` means that there is none: restart the
    training instead.
    """
    service = services().training
    options = ResumeOptions(json_data.checkpoint, json_data.reset_dataloader, json_data.reset_optimizer)
    task = service.resume(task_id, options, json_data.changes, current_principal.get().actor)
    return answer(task, 202, "queued", {"Location": f"{BASE_PATH}/training/{task_id}"})


@training.post("/<task_id>/save")
@training.output(TrainingAnswer, status_code=202)
@training.doc(responses=[404, 409, 503])
def save_checkpoint(task_id: str) -> Response:
    """Save a checkpoint now.

    The trainer saves it after the current step and continues. An event of the type `checkpoint` reports its completion.
    409 `not_training` is returned while the training loads or caches, and if it does not run. No body is needed.
    """
    task = services().saving.save(task_id, current_principal.get().actor)
    return answer(task, 202, "requested", {"Location": f"{BASE_PATH}/training/{task_id}/checkpoints"})


@training.post("/restart/<task_id>")
@training.output(TrainingAnswer, status_code=201)
@training.doc(responses=[404, 409, 422, 503, 507])
@idempotent
def restart_training(task_id: str) -> Response:
    """Restart a finished training.

    Creates a new task with the same request; `restarted_from` names the old one. No body is needed.
    """
    if before := earlier_result():
        return _created(services().training.get(before.about))
    principal = current_principal.get()
    return _created(services().training.restart(task_id, principal.actor, idempotency_scope(), principal.owner))


@training.get("/<task_id>")
@training.output(TrainingAnswer)
@training.doc(responses=[404])
def get_training(task_id: str) -> Response:
    """Show a training.

    Returns its request, attempts, progress, speed, memory, why it waits, and the cause and remedy of a failure.
    """
    return answer(services().training.get(task_id))


@training.patch("/<task_id>")
@training.input(PatchTraining)
@training.output(TrainingAnswer)
@training.doc(responses=[400, 404, 415, 422])
def update_training(task_id: str, json_data: PatchTraining) -> Response:
    """Change priority, name or description.

    Possible at any time. The scheduler's next pass uses a new priority.
    """
    changes = json_data.model_dump(exclude_unset=True)
    return answer(services().training.patch(task_id, changes, current_principal.get().actor))


@training.delete("/<task_id>")
@training.input(DeleteQuery, location="query")
@training.output(DeletedAnswer)
@training.doc(responses=[404, 409, 422])
def delete_training(task_id: str, query_data: DeleteQuery) -> Response:
    """Delete a finished training.

    Its files stay unless `files=true`. The cache of a cache task is always deleted, unless trainings use it: 409
    `cache_in_use`.
    """
    return answer(services().training.delete(task_id, query_data.files), message="deleted")


@training.get("/<task_id>/progress")
@training.output(TrainingProgressAnswer)
@training.doc(responses=[404])
def get_training_progress(task_id: str) -> Response:
    """Show the progress of a training.

    Returns stage, epoch, step, progress in %, speed, remaining time and the latest metrics. Values that the trainer has
    not reported yet are null.
    """
    return answer(services().training.get_progress(task_id))


@training.get("/<task_id>/metrics")
@training.input(MetricsQuery, location="query")
@training.output(TrainingMetricsAnswer)
@training.doc(responses=[404, 422])
def get_training_metrics(task_id: str, query_data: MetricsQuery) -> Response:
    """Show a metric over steps or epochs.

    The series is reduced to `limit` values so that no peak is lost. A value that is not a number is null, and counted.
    """
    return answer(services().training.get_metrics(task_id, **dict(query_data)))


@training.get("/<task_id>/checkpoints")
@training.output(CheckpointsAnswer)
@training.doc(responses=[404])
def list_checkpoints(task_id: str) -> Response:
    """List the checkpoints of a training, oldest first.

    A training can resume from those with `complete`.
    """
    return answer(services().training.get_checkpoints(task_id))


@training.get("/<task_id>/artifacts")
@training.input(ArtifactsQuery, location="query")
@training.output(ArtifactsAnswer)
@training.doc(responses=[404, 422])
def list_artifacts(task_id: str, query_data: ArtifactsQuery) -> Response:
    """List the files that a training made.

    Shows saved models, checkpoints, samples and configurations in its output directory with their sizes, by path or
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
def download_artifact(task_id: str, path: str) -> Response:
    """Download a file.

    The file is streamed. A saved model gets the name of its task and epoch or step. `Range` requests a part, so that an
    interrupted download can continue.
    """
    return answer_file(request.environ, services().training.open_artifact(task_id, path))


@training.get("/<task_id>/events")
@training.input(PageQuery, location="query")
@training.output(TrainingEventsAnswer)
@training.doc(responses=[404, 422])
def list_training_events(task_id: str, query_data: PageQuery) -> Response:
    """List the events of a training, oldest first.

    Shows each change of status and each notable event, with its actor and reason. Events never change.
    """
    page = services().training.get_events(task_id, query_data.page())
    return answer({"events": page.rows, "pagination": page.pagination})
