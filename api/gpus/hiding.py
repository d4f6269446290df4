"""Remove data that a reader must not see, such as other users' tasks, from states and events. Pure functions."""

from collections.abc import Mapping
from dataclasses import replace

from api.domain.access.read_scope import ReadScope
from api.domain.machines.gpu_event import EventType, GPUEvent
from api.domain.machines.reading import GPUProcess
from api.domain.reason import Reason, ReasonOrText, code_of, load_message, message_of, text_of
from api.domain.tasks.task import RegisteredTask
from api.gpus.health.events import describe_xid
from api.gpus.health.judgement import JudgedGPU, Judgement
from api.gpus.sharing.foreign_use import show_process
from api.gpus.state import GPUState
from api.gpus.views import belongs_to

#: Replacements for reasons that name a task, by code.
_UNNAMED: Mapping[str, Reason] = {
    "held_by": Reason.of("held by another user", "held_by_another"),
    "task_ended": Reason.of(
        "another user's task has ended; the GPU is available when its memory is free", "another_ended"
    ),
    "kept_aside": Reason.of("reserved for an attempt that belongs to no task", "kept_for_unknown"),
}


def hide_in_state(state: GPUState, scope: ReadScope) -> GPUState:
    """Return the state as this reader may see it."""
    if scope.is_whole:
        return state
    return replace(state, gpus=tuple(_hide_in_gpu(gpu, scope) for gpu in state.gpus))


def _hide_in_gpu(gpu: JudgedGPU, scope: ReadScope) -> JudgedGPU:
    processes, task = gpu.reading.processes, gpu.task
    if processes is not None:
        processes = tuple(_hide_in_process(process, gpu, scope) for process in processes)
    is_hidden = task is not None and not scope.sees(task.owner)
    return replace(
        gpu,
        reading=replace(gpu.reading, processes=processes),
        judgement=_hide_in_judgement(gpu.judgement, scope, None if task is None else task.owner),
        task=None if is_hidden else task,
        hides_task=is_hidden,
    )


def _hide_in_process(process: GPUProcess, gpu: JudgedGPU, scope: ReadScope) -> GPUProcess:
    if scope.sees_command(_owner_of(process, gpu.task)):
        return process
    return replace(process, command=None, unavailable={**process.unavailable, "command": scope.why_no_command()})


def _owner_of(process: GPUProcess, task: RegisteredTask | None) -> str | None:
    """Return the certain owner of a process. A user can register a GPU or pid of another user."""
    if task is None or not task.is_started_here or task.process is None:
        return None
    return task.owner if belongs_to(process, task) else None


def _hide_in_judgement(judgement: Judgement, scope: ReadScope, owner: str | None) -> Judgement:
    if judgement.message is None:
        return judgement
    message = hide_in_message(judgement.message, scope, owner)
    return replace(judgement, reason=text_of(message), said=code_of(message))


def hide_in_message(message: ReasonOrText, scope: ReadScope, owner: str | None) -> ReasonOrText:
    """Return the reason of a GPU's status as this reader may see it.

    `owner` is the owner of the task that holds the GPU.
    """
    code = code_of(message)
    if code is None:
        return message
    if code.code == "process" and not scope.sees_command(None):
        return show_process(code.params["who"], load_message(code.params["memory"]), "")
    return message if scope.sees(owner) else _UNNAMED.get(code.code, message)


def hide_in_event(event: GPUEvent, owner: str | None, scope: ReadScope) -> GPUEvent | None:
    """Return the event as this reader may see it; None if it concerns only a hidden task.

    `owner` is the owner of its task, or of the task that held the GPU.
    """
    if scope.is_whole:
        return event
    if event.type is EventType.TASK:
        return event if scope.sees(owner) else None
    message = message_of(event.message, event.message_code)
    if event.type is EventType.XID and event.xid is not None:
        message = message if scope.sees(owner) else describe_xid(event.xid, None)
    else:
        message = hide_in_message(message, scope, owner)
    return replace(event, message=text_of(message), message_code=code_of(message))
