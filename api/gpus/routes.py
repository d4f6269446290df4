"""GPUs: what they are, which can be had, who holds them."""

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.access import current_principal
from api.util.base_path import BASE_PATH
from api.util.responses import answer
from api.web.context import answer_document, services
from api.web.idempotency_routes import idempotent, made_before
from api.web.schemas import (
    AvailableQuery,
    EventQuery,
    GPUAvailableAnswer,
    GPUDetailsAnswer,
    GPUEventsAnswer,
    GPUHistoryAnswer,
    GPUProcessesAnswer,
    GPUStatusAnswer,
    GPUSummaryAnswer,
    HistoryQuery,
    NodeQuery,
    PageQuery,
    RegisterTask,
    TaskAnswer,
    TaskListAnswer,
    TaskProgress,
)

gpu = APIBlueprint("gpu", __name__, url_prefix=f"{BASE_PATH}/gpu", tag="GPUs")


@gpu.get("/status")
@gpu.input(NodeQuery, location="query")
@gpu.output(GPUStatusAnswer)
@gpu.doc(responses={304: "Not changed since the ETag in If-None-Match.", 404: "", 422: ""})
def get_status(query_data: NodeQuery) -> Response:
    """Every GPU

    With the summary, the source of the readings, and whether any of them is stale. The header `Age` says how many
    seconds old the reading is; `ETag` and `If-None-Match` spare the body while nothing changes.
    """
    return answer_document(request.path, query_data.node)


@gpu.get("/summary")
@gpu.input(NodeQuery, location="query")
@gpu.output(GPUSummaryAnswer)
@gpu.doc(responses={304: "Not changed since the ETag in If-None-Match.", 404: "", 422: ""})
def get_summary(query_data: NodeQuery) -> Response:
    """The machine's GPUs in figures

    How many there are, can be had and are busy, and their memory in MB. `ETag` and `If-None-Match` spare the body.
    """
    return answer_document(request.path, query_data.node)


@gpu.get("/available")
@gpu.input(AvailableQuery, location="query")
@gpu.output(GPUAvailableAnswer)
@gpu.doc(responses=[404, 422])
def get_available(query_data: AvailableQuery) -> Response:
    """The GPUs that can be had now

    Most free memory first. `total_available` counts those that satisfy the request before `count` cuts the list.
    """
    return answer(services().gpus.get_available_gpus(**dict(query_data)))


@gpu.get("/events")
@gpu.input(EventQuery, location="query")
@gpu.output(GPUEventsAnswer)
@gpu.doc(responses=[404, 422])
def get_events(query_data: EventQuery) -> Response:
    """Xid errors, changes of status and health, the driver's coming and going, newest first

    What each means and what to do about it. Filters are joined by and.
    """
    page = services().gpus.get_events(query_data.selects, query_data.page(), query_data.node)
    return answer({"events": page.rows, "pagination": page.pagination})


@gpu.get("/tasks")
@gpu.input(PageQuery, location="query")
@gpu.output(TaskListAnswer)
@gpu.doc(responses=[422])
def get_tasks(query_data: PageQuery) -> Response:
    """The tasks that hold GPUs, oldest first

    Trainings of this service and programs that registered themselves.
    """
    page = services().gpus.tasks.list(query_data.page())
    return answer({"tasks": page.rows, "pagination": page.pagination})


@gpu.post("/tasks")
@gpu.input(RegisterTask)
@gpu.output(TaskAnswer, status_code=201)
@gpu.doc(responses=[400, 404, 409, 415, 422])
@idempotent
def register_task(json_data: RegisterTask) -> Response:
    """Hold GPUs for a program that was started outside

    All of them or none: 409 `gpu_busy` names who holds which. With a `pid` the task is released when that process
    ends. `Idempotency-Key` makes a retry safe.
    """
    tasks, owner = services().gpus.tasks, current_principal.get().owner
    before = made_before()
    task = tasks.register(**dict(json_data), owner=owner) if before is None else tasks.get(before.about)
    return answer(task, 201, "registered", {"Location": f"{BASE_PATH}/gpu/tasks/{task.task_id}"})


@gpu.get("/tasks/<task_id>")
@gpu.output(TaskAnswer)
@gpu.doc(responses=[404])
def get_task(task_id: str) -> Response:
    """A task that holds GPUs

    Which GPUs, since when, and how far it is as far as it told.
    """
    return answer(services().gpus.tasks.get(task_id))


@gpu.patch("/tasks/<task_id>")
@gpu.input(TaskProgress)
@gpu.output(TaskAnswer)
@gpu.doc(responses=[400, 404, 415, 422])
def update_task(task_id: str, json_data: TaskProgress) -> Response:
    """Tell how far a task is

    What is given replaces what was known; null says that it is no longer known.
    """
    given = json_data.model_dump(exclude_unset=True)
    return answer(services().gpus.tasks.update_progress(task_id, **given))


@gpu.delete("/tasks/<task_id>")
@gpu.output(TaskAnswer)
@gpu.doc(responses=[404])
def release_task(task_id: str) -> Response:
    """Release a task's GPUs

    Each is `draining` until its memory is back.
    """
    return answer(services().gpus.tasks.release(task_id), message="released")


@gpu.get("/<gpu_id>")
@gpu.output(GPUDetailsAnswer)
@gpu.doc(responses=[404])
def get_gpu(gpu_id: str) -> Response:
    """One GPU, by index or UUID

    The same as its `/details`. Of several machines a GPU is named by its UUID or as `node:index`; an index alone does
    where only one machine has it.
    """
    return _answer_details(gpu_id)


@gpu.get("/<gpu_id>/details")
@gpu.output(GPUDetailsAnswer)
@gpu.doc(responses=[404])
def get_details(gpu_id: str) -> Response:
    """Everything about one GPU, by index or UUID

    For every reading that is null `unavailable` says why, by its path.
    """
    return _answer_details(gpu_id)


def _answer_details(gpu_id: str) -> Response:
    services().gpus.require(gpu_id)
    return answer_document(request.path)


@gpu.get("/<gpu_id>/processes")
@gpu.output(GPUProcessesAnswer)
@gpu.doc(responses=[404])
def get_processes(gpu_id: str) -> Response:
    """Who holds a GPU's memory

    Each process with its user, command (secrets masked), memory in MB, since when, and the task that it belongs to.
    Null instead of a list when the driver does not say.
    """
    return answer(services().gpus.get_processes(gpu_id))


@gpu.get("/<gpu_id>/history")
@gpu.input(HistoryQuery, location="query")
@gpu.output(GPUHistoryAnswer)
@gpu.doc(responses=[404, 422])
def get_history(gpu_id: str, query_data: HistoryQuery) -> Response:
    """A metric of one GPU over time

    One sample a sweep is kept for 24 h; each point is the mean, lowest and highest value of one step, and null where
    nothing was read.
    """
    since, until = query_data.period(services().clock.now())
    return answer(services().gpus.get_history(gpu_id, query_data.metric, since, until, query_data.step))
