"""Errors of GPUs, nodes, tasks and alerts."""

from typing import Self

from api.errors.base import Conflict, NotFound, ServiceError


class GPUNotFound(NotFound):
    """An index or UUID that belongs to no GPU."""

    code = "gpu_not_found"
    message = "No GPU has this index or UUID. List the GPUs to find the right one."


class TaskNotFound(NotFound):
    """An id that belongs to no task."""

    code = "task_not_found"
    message = "No task has this id. List the tasks to find the right one."

    @classmethod
    def named(cls, task_id: str) -> Self:
        """Return the error for this id. It is the same for a hidden task and a missing one."""
        return cls(f'No task has the id "{task_id[:80]}".')


class HiddenTask(TaskNotFound):
    """A task that the caller may not see.

    The answer is that of one that does not exist; only the audit records more.
    """

    is_refusal = True


class OrphanNotFound(NotFound):
    """A name that belongs to no orphaned attempt."""

    code = "stray_not_found"
    message = "No orphaned attempt has this name. List them to find the right one."


class HoldNotFound(NotFound):
    """An id that belongs to no hold."""

    code = "hold_not_found"
    message = (
        "No hold has this id: it was ended, perhaps together with its alert. List the holds to find the right one."
    )


class AlertNotFound(NotFound):
    """An id that belongs to no alert, rule, silence or channel."""

    code = "alert_not_found"
    message = "No alert, rule, silence or channel has this id. List them to find the right one."


class GPUBusy(Conflict):
    """A request for a GPU that another task holds."""

    code = "gpu_busy"
    message = "Another task holds the GPU. Choose another one, or wait for it."


class GPULost(Conflict):
    """A request for a GPU that the driver reports as lost."""

    code = "gpu_lost"
    message = "The GPU does not answer; the driver reports it as lost. Choose another one, or restart the machine."


class TaskExists(Conflict):
    """A new task with an id that is in use."""

    code = "task_exists"
    message = "A task with this id exists already. Choose another id."


class TaskNotFinished(Conflict):
    """The restart or deletion of a task that still runs."""

    code = "task_not_finished"
    message = "The task has not finished. Stop it first."

    @classmethod
    def because(cls, reason: str, status: str) -> Self:
        """Return the error with the next step for a task of this status."""
        remedy = "Wait until it has stopped." if status == "stopping" else "Stop it first."
        return cls(f"{reason} {remedy}", data={"status": status})


class TaskNotStoppable(Conflict):
    """The stop of a task that has finished."""

    code = "task_finished"
    message = "The task has finished already. There is nothing to stop."


class TaskActive(Conflict):
    """The restart of a task that is queued or running."""

    code = "task_active"
    message = "The task is queued or running already. There is nothing to start."


class TaskNotQueued(Conflict):
    """The move of a task that is not in the queue."""

    code = "task_not_queued"
    message = "The task is not queued, so it has no position in the queue."


class NoCheckpoint(Conflict):
    """The resumption of a task without a complete checkpoint."""

    code = "no_checkpoint"
    message = "There is no complete checkpoint to resume from. Restart the task instead."


class CheckpointNotFound(NotFound):
    """A name that belongs to no checkpoint of the training."""

    code = "checkpoint_not_found"
    message = "This training has no such checkpoint. Its `/checkpoints` lists those that it has."


class CheckpointIncomplete(Conflict):
    """An export of a checkpoint that was not completely written."""

    code = "checkpoint_incomplete"
    message = "This checkpoint is incomplete. Wait until the trainer has written it, or choose another one."


class ExportUnsupported(Conflict):
    """An export of a checkpoint that is impossible, or impossible in the requested way."""

    code = "export_unsupported"
    message = (
        "No LoRA can be made of this training's checkpoints without its trainer. Let the trainer make it, which takes "
        'its GPUs and one more step: "method": "resume".'
    )


class SamplingUnavailable(Conflict):
    """A request for samples of a service without ComfyUI."""

    code = "sampling_unavailable"
    message = (
        "There is no ComfyUI to render samples. Set COMFYUI_URL to its address, and COMFYUI_LORAS to its directory "
        "models/loras as this machine sees it."
    )


class NoWorkflow(Conflict):
    """A request for samples of a model type for which there is no workflow."""

    code = "no_workflow"
    message = "There is no built-in workflow for this model type. Send one that ComfyUI exported (API format)."


class SheetTooLarge(Conflict):
    """A contact sheet of more samples than one file should have."""

    code = "sheet_too_large"
    message = "The sheet would be too large. Name fewer saved models in `checkpoints`, or choose the format html."


class NoSavedModel(Conflict):
    """A request for samples of a training that has saved no model."""

    code = "no_saved_model"
    message = "The training has saved no model yet. Wait for its next epoch, or export a checkpoint."


class TaskIsTraining(Conflict):
    """A change to a training by the routes for other tasks."""

    code = "task_is_training"
    message = "This task is a training. Use the training routes to stop it."


class SweepNotFound(NotFound):
    """An id that belongs to no sweep."""

    code = "sweep_not_found"
    message = "No sweep has this id. List the sweeps to find the right one."

    @classmethod
    def named(cls, sweep_id: str) -> Self:
        """Return the error for this id."""
        return cls(f'No sweep has the id "{sweep_id[:100]}". List the sweeps to find the right one.')


class HiddenSweep(SweepNotFound):
    """A sweep that the caller may not see.

    The answer is that of one that does not exist; only the audit records more.
    """

    is_refusal = True


class ProcessNotRunning(Conflict):
    """A pid that belongs to no running process."""

    code = "process_not_running"
    message = "No process with this pid runs on this machine. Correct the pid, or omit it."


class InsufficientGPUs(ServiceError):
    """A request that exceeds the GPUs of all machines."""

    code, status = "insufficient_gpus", 507
    message = "No machine has the GPUs that the request needs. Request fewer or smaller ones."


class NodeNotFound(NotFound):
    """A name that belongs to no node."""

    code = "node_not_found"
    message = "No node has this name. List the nodes to find the right one."


class NodeNameTaken(Conflict):
    """A report from a second machine under one name."""

    code = "node_name_taken"
    message = "Another node has this name. Set another NODE_NAME."


class ReportReplayed(Conflict):
    """A report that is not newer than the last one of its node."""

    code = "report_replayed"
    message = "This report was sent before, or is older than the last one of its node. Send a new one."


class NodeDrained(Conflict):
    """A start on a node that is drained."""

    code = "node_drained"
    message = "The node is drained, so nothing new starts on it. Choose another node, or end its drain."


class NodeIsThere(Conflict):
    """The removal of a node that still sends reports."""

    code = "node_is_there"
    message = "The node still sends reports. Stop its service before you remove it."


class ArtifactNotFound(NotFound):
    """A path that belongs to no file of the training."""

    code = "artifact_not_found"
    message = "This training has no such file. Its `/artifacts` lists the files that it has."


class CheckpointInUse(Conflict):
    """The deletion of a checkpoint from which the training may continue."""

    code = "checkpoint_in_use"
    message = "The training may still need this checkpoint. Delete it after the training has ended."


class NotTraining(Conflict):
    """The saving of a checkpoint while the task is not training."""

    code = "not_training"
    message = "The task is not training now, so there is nothing to save. Try again when it trains."
