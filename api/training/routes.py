"""Routes for trainings: validate, start, follow, stop, resume."""

from dataclasses import replace
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import GetJsonSchemaHandler, RootModel, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from api.domain.access.principal import current_principal
from api.domain.finding import CONFIGURATION_TOO_LARGE, make_finding
from api.domain.tasks.training import ResumeOptions, TaskStatus, TrainingRequest
from api.errors import Finding, Invalid
from api.training.comparison.views import ComparedTrainings
from api.training.output.artifacts import newest_first
from api.training.schemas import (
    ArtifactList,
    ArtifactQuery,
    ArtifactsQuery,
    CompareQuery,
    DeleteQuery,
    EventOrder,
    EventsQuery,
    ExportCheckpoint,
    FileOrder,
    ListQuery,
    MetricsQuery,
    PatchTraining,
    ResumeTraining,
    StartTraining,
    StopQuery,
    StopTraining,
    TrainingEventList,
    TrainingList,
)
from api.training.view_builders import read_findings
from api.training.views import (
    CheckpointList,
    Deleted,
    DeletedCheckpoint,
    ExportView,
    SeriesView,
    StoppedTask,
    TaskDetails,
    TaskProgressView,
    Validation,
)
from api.util.http.base_path import BASE_PATH
from api.util.http.pagination import paginate
from api.util.http.validation import details_of, excess, mistakes_in
from api.web.idempotency_routes import earlier_result, idempotency_scope, idempotent
from api.web.responses import answer, answer_file, body_is_optional, services
from api.web.schemas import envelope_of, file_responses

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

#: Descriptions of an export's other answers. 200 has the same form as 202.
_EXPORTED: dict[int, str] = {
    200: "The model exists.",
    400: "Bad request",
    404: "Not found",
    409: "Conflict",
    415: "Unsupported media type",
    422: "Unprocessable entity",
    503: "Service unavailable",
    507: "Insufficient storage",
}


#: Limits on the number and depth of values in a body, far above what any trainer needs.
MAX_VALUES = 20_000
MAX_DEPTH = 64

#: Fields that an error about the body as a whole concerns. At most one of them may be given.
_GPU_FIELDS = ("gpu_id", "gpu_ids", "gpu_count")


class StartBody(RootModel[Any]):
    """Any JSON, documented as a training. The form and the values are checked together."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of StartTraining."""
        return handler.resolve_ref_schema(handler(StartTraining.__pydantic_core_schema__))


def read_start(body: Any) -> tuple[TrainingRequest | None, list[Finding]]:
    """Return the request without its invalid fields, and the errors in them.

    The request is None if the rest cannot be checked.
    """
    mistakes: list[Finding] = []
    too_much = excess(body, depth=MAX_DEPTH, count=MAX_VALUES)
    if too_much is not None:
        return None, [make_finding("", CONFIGURATION_TOO_LARGE, why=too_much)]
    while True:
        try:
            return StartTraining.model_validate(body).request(), mistakes
        except ValidationError as error:
            mistakes += mistakes_in(error)
            invalid = {str(found["loc"][0]) for found in details_of(error) if found["loc"]} or set(_GPU_FIELDS)
            rest = (
                {name: value for name, value in body.items() if name not in invalid} if isinstance(body, dict) else {}
            )
            if "model_type" not in rest or rest == body:
                return None, mistakes
            body = rest


@training.post("/validate")
@training.input(StartBody)
@training.output(envelope_of(Validation))
@training.doc(responses=[400, 415, 503])
def validate_training(json_data: StartBody) -> Response:
    """Check a request and show its plan.

    Returns all findings at once and the plan: the GPUs that it would get now, steps, estimated memory, and the
    trainer's files exactly as they would be written. Nothing is started. The status is 200 whatever the findings; see
    `valid`.
    """
    parsed, mistakes = read_start(json_data.root)
    return answer(services().training.service.validate(parsed, mistakes, current_principal.get().owner))


@training.post("/start")
@training.input(StartBody)
@training.output(envelope_of(TaskDetails, "Training"), status_code=201)
@training.doc(responses=[400, 409, 415, 422, 503, 507])
@idempotent
def start_training(json_data: StartBody) -> Response:
    """Start a training.

    It waits in the queue for its GPUs. With `"queue": false` it gets them immediately or is rejected with 409
    `gpu_busy`. 507 means that this machine can never serve the request, 409 `quota_exceeded` that the user's quota does
    not permit it. `Idempotency-Key` makes retries safe.
    """
    if before := earlier_result():
        return _created(services().training.details.get(before.about))
    parsed, mistakes = read_start(json_data.root)
    parsed = _require_form(parsed, mistakes)
    principal = current_principal.get()
    return _created(
        services().training.service.start(parsed, principal.actor, idempotency_scope(), owner=principal.owner)
    )


@training.post("/cache")
@training.input(StartBody)
@training.output(envelope_of(TaskDetails, "Training"), status_code=201)
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
        return _created(services().training.details.get(before.about))
    parsed, mistakes = read_start(json_data.root)
    requested = replace(_require_form(parsed, mistakes), cache_only=True)
    principal = current_principal.get()
    return _created(
        services().training.service.start(requested, principal.actor, idempotency_scope(), owner=principal.owner)
    )


@training.post("/rehearse")
@training.input(StartBody)
@training.output(envelope_of(TaskDetails, "Training"), status_code=202)
@training.doc(responses=[400, 409, 415, 422, 503, 507])
@idempotent
def rehearse_training(json_data: StartBody) -> Response:
    """Rehearse a training.

    The body is a request for a training. A task of the kind `rehearse` gets its GPUs, caches two items of the dataset,
    makes about eight steps with the same settings, saves once, and removes all its files. `rehearsal` of the task then
    has the memory of each GPU, seconds per step, and time and disk space of the whole training; `failure` has the cause
    and the remedy. It ends after `REHEARSAL_SECONDS` at the latest, and is never retried. Rehearsals are followed,
    stopped and deleted like trainings.
    """
    if before := earlier_result():
        return _created(services().training.details.get(before.about), 202)
    parsed, mistakes = read_start(json_data.root)
    requested = replace(_require_form(parsed, mistakes), rehearsal=True)
    principal = current_principal.get()
    task = services().training.service.start(requested, principal.actor, idempotency_scope(), owner=principal.owner)
    return _created(task, 202)


def _require_form(parsed: TrainingRequest | None, mistakes: list[Finding]) -> TrainingRequest:
    """Return the request. Raise Invalid with all errors if its form is invalid."""
    if not mistakes and parsed is not None:
        return parsed
    found = services().training.service.validate(parsed, mistakes)
    raise Invalid(mistakes=list(read_findings(found.errors)))


def _created(task: Any, status: int = 201) -> Response:
    return answer(
        task, status, "created" if status == 201 else "accepted", {"Location": f"{BASE_PATH}/training/{task.task_id}"}
    )


@training.get("/list")
@training.input(ListQuery, location="query")
@training.output(envelope_of(TrainingList))
@training.doc(responses=[422])
def list_trainings(query_data: ListQuery) -> Response:
    """List trainings, newest first.

    Shows the trainings that the user may see. `order=queue` shows queued trainings in the order in which they will
    start: by priority, then by the GPU time that their users had in the last day, then by age. Filters are combined
    with AND. Rows are short; `/training/{task_id}` has the rest.
    """
    query = query_data
    trainings = services().training.lists
    page = trainings.get_page(query.filter(), query.gpu_id, query.page(), query.order)
    empty_at = trainings.queue_empty_at()
    return answer({"tasks": page.rows, "pagination": page.pagination, "queue_empty_at": empty_at})


@training.get("/compare")
@training.input(CompareQuery, location="query")
@training.output(envelope_of(ComparedTrainings, "Comparison"))
@training.doc(responses=[404, 422])
def compare_trainings(query_data: CompareQuery) -> Response:
    """Compare two to eight trainings.

    Shows their figures, metrics on a common axis, the settings that differ, and the samples of prompts that at least
    two of them have with the same seed. Each series is reduced to `limit` values so that no peak is lost. Settings have
    the names of the trainer's files, whichever form the requests had; unknown and unset ones are null.
    """
    query = query_data
    given = (query.task_ids(), query.metrics(), query.axis, query.limit)
    return answer(services().training.comparison.compare(*given, all_settings=query.all_settings))


@training.post("/stop/<task_id>")
@training.input(StopTraining)
@training.input(StopQuery, location="query")
@training.output(envelope_of(StoppedTask, "StoppedTraining"), status_code=202)
@training.doc(responses=_STOPPED)
@body_is_optional
def stop_training(task_id: str, json_data: StopTraining, query_data: StopQuery) -> Response:
    """Stop a training.

    The trainer is asked to save a checkpoint and quit. After `timeout_seconds` it is terminated, and then killed.
    `force` skips the checkpoint. With `keep_lora`, a LoRA is made of the last checkpoint when it has ended, like by
    `/training/{task_id}/export`. `stop.rung` shows the current step. Repeated requests get the same answer. With `wait`
    the answer comes when the training has ended, or after that many seconds. The status is 200 if it has ended,
    otherwise 202.
    """
    return _stop(task_id, json_data, query_data.wait)


@training.post("/<task_id>/stop")
@training.input(StopTraining)
@training.input(StopQuery, location="query")
@training.output(envelope_of(StoppedTask, "StoppedTraining"), status_code=202)
@training.doc(responses=_STOPPED)
@body_is_optional
def stop_training_task(task_id: str, json_data: StopTraining, query_data: StopQuery) -> Response:
    """Stop a training.

    The same as `/training/stop/{task_id}`.
    """
    return _stop(task_id, json_data, query_data.wait)


def _stop(task_id: str, how: StopTraining, wait: float) -> Response:
    actor = current_principal.get().actor
    task = services().training.stops.stop(task_id, how.force, how.timeout_seconds, actor, wait, how.keep_lora)
    status = 200 if task.status.is_finished else 202
    return answer(task, status, str(task.status), {"Location": f"{BASE_PATH}/training/{task_id}"})


@training.post("/resume/<task_id>")
@training.input(ResumeTraining)
@training.output(envelope_of(TaskDetails, "Training"), status_code=202)
@training.doc(responses=[400, 404, 409, 415, 422, 503, 507])
@body_is_optional
def resume_training(task_id: str, json_data: ResumeTraining) -> Response:
    """Resume a finished training from a checkpoint.

    Uses the last complete checkpoint unless `checkpoint` names another. `config` and `dataset` are merged into the
    task's own (null removes a key); TOML texts replace them. 409 `no_checkpoint` means that there is none: restart the
    training instead.
    """
    service = services().training.service
    options = ResumeOptions(json_data.checkpoint, json_data.reset_dataloader, json_data.reset_optimizer)
    task = service.resume(task_id, options, json_data.changes, current_principal.get().actor)
    return answer(task, 202, "queued", {"Location": f"{BASE_PATH}/training/{task_id}"})


@training.post("/<task_id>/save")
@training.output(envelope_of(TaskDetails, "Training"), status_code=202)
@training.doc(responses=[404, 409, 503])
def save_checkpoint(task_id: str) -> Response:
    """Save a checkpoint now.

    The trainer saves it after the current step and continues. An event of the type `checkpoint` reports its completion.
    409 `not_training` is returned while the training loads or caches, and if it does not run. No body is needed.
    """
    task = services().training.saving.save(task_id, current_principal.get().actor)
    return answer(task, 202, "requested", {"Location": f"{BASE_PATH}/training/{task_id}/checkpoints"})


@training.post("/<task_id>/export")
@training.input(ExportCheckpoint)
@training.output(envelope_of(ExportView), status_code=202)
@training.doc(responses=_EXPORTED)
@body_is_optional
def export_checkpoint(task_id: str, json_data: ExportCheckpoint) -> Response:
    """Make a LoRA of a checkpoint.

    Checkpoints serve to resume; other programs cannot read them. A task of the kind `export` makes a saved model of
    one, by default of the last complete one, with the contents that the trainer would have saved at that step. It needs
    no GPU, and the training may run meanwhile. Follow it at `/training/{export_id}`. The model then is one of the
    training's files. An export that exists or runs is returned.

    Where that is impossible, for example for LoKr or a model that is trained as a whole, and with the `method`
    `resume`, the trainer does it: with the training's settings and number of GPUs it resumes a copy of the checkpoint,
    makes one step and saves a model, which is of the next `step`. It waits for GPUs like a training. The training and
    its checkpoint stay as they are. 409 `export_unsupported` means that the requested way is impossible.
    """
    actor = current_principal.get().actor
    made = services().training.exports.start(task_id, json_data.checkpoint, actor, json_data.chosen_method)
    where = made.url if made.export_id is None else f"{BASE_PATH}/training/{made.export_id}"
    return answer(made, 200 if made.status is TaskStatus.COMPLETED else 202, str(made.status), {"Location": str(where)})


@training.post("/restart/<task_id>")
@training.output(envelope_of(TaskDetails, "Training"), status_code=201)
@training.doc(responses=[404, 409, 422, 503, 507])
@idempotent
def restart_training(task_id: str) -> Response:
    """Restart a finished training.

    Creates a new task with the same request; `restarted_from` names the old one. No body is needed.
    """
    if before := earlier_result():
        return _created(services().training.details.get(before.about))
    principal = current_principal.get()
    return _created(services().training.service.restart(task_id, principal.actor, idempotency_scope(), principal.owner))


@training.get("/<task_id>")
@training.output(envelope_of(TaskDetails, "Training"))
@training.doc(responses=[404])
def get_training(task_id: str) -> Response:
    """Show a training.

    Returns its request, attempts, progress, speed, memory, why it waits, and the cause and remedy of a failure.
    """
    return answer(services().training.details.get(task_id))


@training.patch("/<task_id>")
@training.input(PatchTraining)
@training.output(envelope_of(TaskDetails, "Training"))
@training.doc(responses=[400, 404, 409, 415, 422])
def update_training(task_id: str, json_data: PatchTraining) -> Response:
    """Change priority, name, description, tags, notes, trigger word, automatic samples or the place in the queue.

    Possible at any time, except that only a queued training has a `queue_position`: otherwise 409 `task_not_queued`.
    The scheduler's next pass uses the new priority and position. A position orders the tasks of one user with the same
    priority; users still take turns, and only a higher priority overtakes the tasks of others.
    """
    actor = current_principal.get().actor
    given = (json_data.given_labels(), actor, json_data.position, json_data.requested_samples())
    return answer(services().training.changes.patch(task_id, *given))


@training.delete("/<task_id>")
@training.input(DeleteQuery, location="query")
@training.output(envelope_of(Deleted))
@training.doc(responses=[404, 409, 422])
def delete_training(task_id: str, query_data: DeleteQuery) -> Response:
    """Delete a finished training.

    Its files stay unless `files=true`. The cache of a cache task is always deleted, unless trainings use it: 409
    `cache_in_use`.
    """
    return answer(services().training.files.delete(task_id, query_data.files), message="deleted")


@training.get("/<task_id>/progress")
@training.output(envelope_of(TaskProgressView, "TrainingProgress"))
@training.doc(responses=[404])
def get_training_progress(task_id: str) -> Response:
    """Show the progress of a training.

    Returns stage, epoch, step, progress in %, speed, remaining time and the latest metrics. Values that the trainer has
    not reported yet are null.
    """
    return answer(services().training.details.get_progress(task_id))


@training.get("/<task_id>/metrics")
@training.input(MetricsQuery, location="query")
@training.output(envelope_of(SeriesView, "TrainingMetrics"))
@training.doc(responses=[404, 422])
def get_training_metrics(task_id: str, query_data: MetricsQuery) -> Response:
    """Show a metric over steps or epochs.

    The series is reduced to `limit` values so that no peak is lost. A value that is not a number is null, and counted.
    """
    return answer(services().training.details.get_metrics(task_id, **dict(query_data)))


@training.get("/<task_id>/checkpoints")
@training.output(envelope_of(CheckpointList, "Checkpoints"))
@training.doc(responses=[404])
def list_checkpoints(task_id: str) -> Response:
    """List the checkpoints of a training, oldest first.

    A training can resume from those with `complete`.
    """
    return answer(services().training.files.get_checkpoints(task_id))


@training.delete("/<task_id>/checkpoints/<name>")
@training.output(envelope_of(DeletedCheckpoint))
@training.doc(responses=[404, 409, 503])
def delete_checkpoint(task_id: str, name: str) -> Response:
    """Delete a checkpoint.

    A finished training can lose any of them. Until then, 409 `checkpoint_in_use` protects the newest one, incomplete
    ones, and the one from which the training is about to resume. Saved models stay.
    """
    deleted = services().training.files.delete_checkpoint(task_id, name, current_principal.get().actor)
    return answer(deleted, message="deleted")


@training.get("/<task_id>/artifacts")
@training.input(ArtifactsQuery, location="query")
@training.output(envelope_of(ArtifactList, "Artifacts"))
@training.doc(responses=[404, 422])
def list_artifacts(task_id: str, query_data: ArtifactsQuery) -> Response:
    """List the files that a training made.

    Shows saved models, checkpoints, samples and configurations in its output directory with their sizes, by path or
    newest first.
    """
    files = services().training.files.get_artifacts(task_id)
    found = list(enumerate(newest_first(files) if query_data.order is FileOrder.NEWEST else files, start=1))
    page = paginate(found, lambda row: row[0], query_data.page())
    total = sum(artifact.size_bytes for _, artifact in found)
    rows = [artifact for _, artifact in page.rows]
    return answer({"artifacts": rows, "total_bytes": total, "pagination": page.pagination})


@training.get("/<task_id>/artifacts/<path:path>")
@training.input(ArtifactQuery, location="query")
@training.doc(responses=file_responses("The file.", "No such file.", "application/octet-stream"))
def download_artifact(task_id: str, path: str, query_data: ArtifactQuery) -> Response:
    """Download a file.

    The file is streamed. A saved model is named after its task and epoch or step, and its header has metadata under
    the keys of ModelSpec and sd-scripts: trigger word, base model, dataset, rank and so on. Its tensors are those that
    the trainer wrote. `Range` requests a part, so that an interrupted download can continue.
    """
    file = services().training.files.open_artifact(task_id, path, is_raw=query_data.raw)
    return answer_file(request.environ, file)


@training.get("/<task_id>/events")
@training.input(EventsQuery, location="query")
@training.output(envelope_of(TrainingEventList, "TrainingEvents"))
@training.doc(responses=[404, 422])
def list_training_events(task_id: str, query_data: EventsQuery) -> Response:
    """List the events of a training.

    Shows each change of status and each notable event, with its actor and reason. Events never change.
    """
    is_newest_first = query_data.order is EventOrder.NEWEST
    page = services().training.details.get_events(task_id, query_data.page(), is_newest_first=is_newest_first)
    return answer({"events": page.rows, "pagination": page.pagination})
