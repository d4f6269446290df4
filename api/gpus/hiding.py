"""Removes data that a reader must not see, such as other users' tasks, from states and events. Pure functions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.domain.event import EventType, GPUEvent
from api.domain.read_scope import ReadScope
from api.domain.reading import GPUProcess
from api.domain.reason import Reason, ReasonOrText, code_of, load_message, message_of, text_of
from api.domain.task import RegisteredTask
from api.gpus.events import describe_xid
from api.gpus.foreign_use import show_process
from api.gpus.judgement import JudgedGPU, Judgement
from api.gpus.state import GPUState
from api.gpus.view import belongs_to

#: Replacements for reasons that name a task, by code.
_UNNAMED: Mapping[str, Reason] = {
    "held_by": Reason.of("held by another user", "held_by_another"),
    "task_ended": Reason.of(
        "another user's task has ended; the GPU is available when its memory is free", "another_ended"
    ),
    "kept_aside": Reason.of("reserved for an attempt that belongs to no task", "kept_for_unknown"),
}


def hide_in_state(state: GPUState, sight: ReadScope) -> GPUState:
    """Return the state as this reader may see it."""
    if sight.is_whole:
        return state
    return replace(state, gpus=tuple(_hide_in_gpu(gpu, sight) for gpu in state.gpus))


def _hide_in_gpu(gpu: JudgedGPU, sight: ReadScope) -> JudgedGPU:
    processes, task = gpu.reading.processes, gpu.task
    if processes is not None:
        processes = tuple(_hide_in_process(process, gpu, sight) for process in processes)
    is_hidden = task is not None and not sight.sees(task.owner)
    return JudgedGPU(
        reading=replace(gpu.reading, processes=processes),
        judgement=_hide_in_judgement(gpu.judgement, sight, None if task is None else task.owner),
        task=None if is_hidden else task,
        node=gpu.node,
        hides_task=is_hidden,
    )


def _hide_in_process(process: GPUProcess, gpu: JudgedGPU, sight: ReadScope) -> GPUProcess:
    if sight.sees_command(_owner_of(process, gpu.task)):
        return process
    return replace(process, command=None, unavailable={**process.unavailable, "command": sight.why_no_command()})


def _owner_of(process: GPUProcess, task: RegisteredTask | None) -> str | None:
    """Return the certain owner of a process. A user can register a GPU or pid of another user."""
    if task is None or not task.is_started_here or task.process is None:
        return None
    return task.owner if belongs_to(process, task) else None


def _hide_in_judgement(judgement: Judgement, sight: ReadScope, owner: str | None) -> Judgement:
    if judgement.words is None:
        return judgement
    words = hide_in_message(judgement.words, sight, owner)
    return replace(judgement, reason=text_of(words), said=code_of(words))


def hide_in_message(words: ReasonOrText, sight: ReadScope, owner: str | None) -> ReasonOrText:
    """Return the reason of a GPU's status as this reader may see it.

    `owner` is the owner of the task that holds the GPU.
    """
    said = code_of(words)
    if said is None:
        return words
    if said.code == "process" and not sight.sees_command(None):
        return _without_command(said.params)
    return words if sight.sees(owner) else _UNNAMED.get(said.code, words)


def _without_command(params: Mapping[str, Any]) -> Reason:
    return show_process(params["who"], load_message(params["memory"]), "")


def hide_in_event(event: GPUEvent, owner: str | None, sight: ReadScope) -> GPUEvent | None:
    """Return the event as this reader may see it; None if it concerns only a hidden task.

    `owner` is the owner of its task, or of the task that held the GPU.
    """
    if sight.is_whole:
        return event
    if event.type is EventType.TASK:
        return event if sight.sees(owner) else None
    words = message_of(event.message, event.message_code)
    if event.type is EventType.XID and event.xid is not None:
        words = words if sight.sees(owner) else describe_xid(event.xid, None)
    else:
        words = hide_in_message(words, sight, owner)
    return replace(event, message=text_of(words), message_code=code_of(words))
