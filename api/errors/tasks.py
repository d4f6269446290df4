"""What can go wrong about GPUs and the tasks on them."""

from typing import Self

from api.errors.base import Conflict, NotFound, ServiceError


class GPUNotFound(NotFound):
    """No GPU has this index or UUID."""

    code = "gpu_not_found"


class TaskNotFound(NotFound):
    """No task has this id."""

    code = "task_not_found"

    @classmethod
    def named(cls, task_id: str) -> Self:
        """Make the error for this id: in the same words for a hidden task as for one that does not exist."""
        return cls(f'No task has the id "{task_id[:80]}".')


class HiddenTask(TaskNotFound):
    """No task has this id."""  # that one does, only the audit learns

    is_refusal = True


class StrayNotFound(NotFound):
    """No attempt that the database does not know has this name."""

    code = "stray_not_found"


class HoldNotFound(NotFound):
    """No hold has this id: it has been ended, perhaps with its alert."""

    code = "hold_not_found"


class AlertNotFound(NotFound):
    """No alert, rule, silence or channel has this id."""

    code = "alert_not_found"


class GPUBusy(Conflict):
    """The GPU is held by another task."""

    code = "gpu_busy"


class GPULost(Conflict):
    """The GPU does not answer; the driver reports it as lost."""

    code = "gpu_lost"


class TaskExists(Conflict):
    """A task with this id exists already."""

    code = "task_exists"


class TaskNotFinished(Conflict):
    """The task has not finished: stop it first."""

    code = "task_not_finished"


class TaskNotStoppable(Conflict):
    """The task has finished already: there is nothing to stop."""

    code = "task_finished"


class TaskActive(Conflict):
    """The task is queued or runs already."""

    code = "task_active"


class NoCheckpoint(Conflict):
    """There is no complete checkpoint to go on from; restart begins anew."""

    code = "no_checkpoint"


class TaskIsTraining(Conflict):
    """This task is held by the training routes: stop it there."""

    code = "task_is_training"


class ProcessNotRunning(Conflict):
    """No process with this pid runs on this machine."""

    code = "process_not_running"


class InsufficientGPUs(ServiceError):
    """This machine can never serve the request."""

    code, status = "insufficient_gpus", 507


class NodeNotFound(NotFound):
    """No node has this name."""

    code = "node_not_found"


class NodeNameTaken(Conflict):
    """Another node has this name."""

    code = "node_name_taken"


class ReportReplayed(Conflict):
    """This report was sent before, or is older than the last one of its node: send a new one."""

    code = "report_replayed"


class NodeDrained(Conflict):
    """The node is drained: nothing new is started on it."""

    code = "node_drained"


class NodeIsThere(Conflict):
    """The node is heard: end its service before it is forgotten."""

    code = "node_is_there"
