"""The routes of GPUs: state, availability and holders."""

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.access.principal import current_principal
from api.domain.machines.gpu import (
    AvailableGPUResponse,
    FleetStatusResponse,
    GPUDetails,
    GPUProcesses,
    GPUStatusResponse,
    GPUSummary,
    NodeGPUDetails,
    NodeGPUProcesses,
)
from api.domain.machines.history import GPUHistoryResponse, NodeGPUHistoryResponse
from api.domain.tasks.task import TaskView
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, answer_document, services
from api.web.schemas import (
    AvailableQuery,
    EventList,
    EventQuery,
    HistoryQuery,
    NodeQuery,
    PageQuery,
    RegisterTask,
    TaskList,
    TaskProgress,
    envelope_of,
)

#: The answer of snapshots to If-None-Match.
_UNCHANGED = {304: "Not changed since the ETag in If-None-Match."}

gpu = APIBlueprint("gpu", __name__, url_prefix=f"{BASE_PATH}/gpu", tag="GPUs")


@gpu.get("/status")
@gpu.input(NodeQuery, location="query")
@gpu.output(envelope_of(FleetStatusResponse | GPUStatusResponse, "GPUStatus"))
@gpu.doc(responses={**_UNCHANGED, 404: "", 422: ""})
def get_gpu_status(query_data: NodeQuery) -> Response:
    """List all GPUs.

    The answer includes the summary, the source of the readings, and whether any reading is stale. The header `Age` is
    the age of the readings in seconds. With `ETag` and `If-None-Match` an unchanged answer has no body.
    """
    return answer_document(request.path, query_data.node)


@gpu.get("/summary")
@gpu.input(NodeQuery, location="query")
@gpu.output(envelope_of(GPUSummary))
@gpu.doc(responses={**_UNCHANGED, 404: "", 422: ""})
def get_gpu_summary(query_data: NodeQuery) -> Response:
    """Summarize the GPUs.

    Numbers of all, available and busy GPUs, and their memory in MB. With `ETag` and `If-None-Match` an unchanged answer
    has no body.
    """
    return answer_document(request.path, query_data.node)


@gpu.get("/available")
@gpu.input(AvailableQuery, location="query")
@gpu.output(envelope_of(AvailableGPUResponse, "GPUAvailable"))
@gpu.doc(responses=[404, 422])
def list_available_gpus(query_data: AvailableQuery) -> Response:
    """List the available GPUs.

    Most free memory first. `total_available` counts all matching GPUs, before `count` limits the list.
    """
    return answer(services().gpus.service.get_available_gpus(**dict(query_data)))


@gpu.get("/events")
@gpu.input(EventQuery, location="query")
@gpu.output(envelope_of(EventList, "GPUEvents"))
@gpu.doc(responses=[404, 422])
def list_gpu_events(query_data: EventQuery) -> Response:
    """List GPU events, newest first.

    Xid errors, changes of status and health, and failures of the driver, each with its meaning and advice. An event
    must match all filters.
    """
    page = services().gpus.service.get_events(query_data.selects, query_data.page(), query_data.node)
    return answer({"events": page.rows, "pagination": page.pagination})


@gpu.get("/tasks")
@gpu.input(PageQuery, location="query")
@gpu.output(envelope_of(TaskList))
@gpu.doc(responses=[422])
def list_gpu_tasks(query_data: PageQuery) -> Response:
    """List the tasks that hold GPUs, oldest first.

    Trainings of this service and programs that have registered themselves.
    """
    page = services().gpus.service.tasks.list(query_data.page())
    return answer({"tasks": page.rows, "pagination": page.pagination})


@gpu.post("/tasks")
@gpu.input(RegisterTask)
@gpu.output(envelope_of(TaskView), status_code=201)
@gpu.doc(responses=[400, 404, 409, 415, 422])
@idempotent
def register_gpu_task(json_data: RegisterTask) -> Response:
    """Register GPUs for an external program.

    All of them or none: error 409 `gpu_busy` names the holders. With a `pid` the task is released when that process
    ends. `Idempotency-Key` makes a retry safe.
    """
    tasks, owner = services().gpus.service.tasks, current_principal.get().owner
    before = earlier_result()
    task = tasks.register(**dict(json_data), owner=owner) if before is None else tasks.get(before.about)
    return answer(task, 201, "registered", {"Location": f"{BASE_PATH}/gpu/tasks/{task.task_id}"})


@gpu.get("/tasks/<task_id>")
@gpu.output(envelope_of(TaskView))
@gpu.doc(responses=[404])
def get_gpu_task(task_id: str) -> Response:
    """Show a task that holds GPUs.

    Its GPUs, its start, and its progress as far as it was reported.
    """
    return answer(services().gpus.service.tasks.get(task_id))


@gpu.patch("/tasks/<task_id>")
@gpu.input(TaskProgress)
@gpu.output(envelope_of(TaskView))
@gpu.doc(responses=[400, 404, 415, 422])
def update_gpu_task(task_id: str, json_data: TaskProgress) -> Response:
    """Update the progress of a task.

    The given values replace the previous ones; null means unknown.
    """
    given = json_data.model_dump(exclude_unset=True)
    return answer(services().gpus.service.tasks.update_progress(task_id, **given))


@gpu.delete("/tasks/<task_id>")
@gpu.output(envelope_of(TaskView))
@gpu.doc(responses=[404])
def release_gpu_task(task_id: str) -> Response:
    """Release the GPUs of a task.

    Each is `draining` until its memory is free.
    """
    return answer(services().gpus.service.tasks.release(task_id), message="released")


@gpu.get("/<gpu_id>")
@gpu.output(envelope_of(NodeGPUDetails | GPUDetails, "GPUDetails"))
@gpu.doc(responses={**_UNCHANGED, 404: ""})
def get_gpu(gpu_id: str) -> Response:
    """Show one GPU, by index or UUID.

    The same as its `/details`. With several machines a GPU is named by its UUID or as `node:index`. An index alone
    works if only one machine has it.
    """
    return _answer_details(gpu_id)


@gpu.get("/<gpu_id>/details")
@gpu.output(envelope_of(NodeGPUDetails | GPUDetails, "GPUDetails"))
@gpu.doc(responses={**_UNCHANGED, 404: ""})
def get_gpu_details(gpu_id: str) -> Response:
    """Show all data of one GPU, by index or UUID.

    For each null, `unavailable` contains the reason by the field's path.
    """
    return _answer_details(gpu_id)


def _answer_details(gpu_id: str) -> Response:
    services().gpus.service.require(gpu_id)
    return answer_document(request.path)


@gpu.get("/<gpu_id>/processes")
@gpu.output(envelope_of(NodeGPUProcesses | GPUProcesses, "GPUProcesses"))
@gpu.doc(responses=[404])
def list_gpu_processes(gpu_id: str) -> Response:
    """List the processes that use a GPU's memory.

    Each with its user, command (secrets masked), memory in MB, start, and the task that it belongs to. Null instead of
    a list if the driver does not report processes.
    """
    return answer(services().gpus.service.get_processes(gpu_id))


@gpu.get("/<gpu_id>/history")
@gpu.input(HistoryQuery, location="query")
@gpu.output(envelope_of(NodeGPUHistoryResponse | GPUHistoryResponse, "GPUHistory"))
@gpu.doc(responses=[404, 422])
def get_gpu_history(gpu_id: str, query_data: HistoryQuery) -> Response:
    """Show the history of one metric of a GPU.

    The service stores one sample per sweep for 24 h. Each point is the mean, minimum and maximum of one step, or null
    without readings.
    """
    since, until = query_data.period(services().clock.now())
    return answer(services().gpus.service.get_history(gpu_id, query_data.metric, since, until, query_data.step))
