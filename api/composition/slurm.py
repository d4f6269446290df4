"""Build the parts of trainings on a Slurm cluster."""

import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from api.config import Config
from api.db.database import Database
from api.domain.machines.gpu import GPUStatus
from api.domain.reason import Reason
from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.training import Attempt, AttemptStatus
from api.executors.executor import Executor, NodeState
from api.files.task_files import task_files
from api.gpus.health.circumstances import EngineStatus
from api.gpus.service import GPUService
from api.training.cluster import ClusterNodes
from api.training.queue.cluster_window import ClusterWindow, Engine
from api.training.records.attempt_store import AttemptLocations, AttemptStore
from api.util.clock import Clock

#: Statuses of an attempt that has its GPUs and has not been observed running.
_STARTING = frozenset({AttemptStatus.CLAIMED, AttemptStatus.SUBMITTED})


class SlurmParts:
    """The Slurm executor and the services based on it. The constructor starts nothing and sends no requests."""

    def __init__(
        self,
        config: Config,
        local: Executor,
        options_by_task: Callable[[], Mapping[str, ClusterOptions]],
        env: Mapping[str, str],
    ) -> None:
        # httpx is large, and needed only for a cluster.
        from api.executors.slurm.client import SlurmClient  # noqa: PLC0415
        from api.executors.slurm.executor import SlurmExecutor  # noqa: PLC0415

        client = SlurmClient(config.slurmrestd_url, config.slurm_token_file or Path())
        root = hashlib.sha256(os.fsencode(config.storage_root.absolute())).hexdigest()[:16]
        # Time to save and to terminate, and a tick of each side.
        leave = config.stop_checkpoint_seconds + config.stop_terminate_seconds + 15.0
        self.executor = SlurmExecutor(
            client, local, f"diffusion-pipe-api {root}", sys.executable, env, leave_seconds=leave
        )
        self._options_by_task = options_by_task
        self.cluster_nodes = ClusterNodes(self.executor.known_nodes, options_by_task)

    def window(self, config: Config, attempts: AttemptStore, clock: Clock) -> ClusterWindow:
        """Build the window that submits the first tasks of the queue to Slurm."""
        root = config.storage_root.absolute()
        engine = Engine(
            self.executor.ahead,
            lambda: {attempt.uid for attempt in attempts.open(None, root)},
            lambda: {each.uid for each in attempts.open(None, root) if each.gpu_uuids and each.status in _STARTING},
            lambda: {node.name: node.gpu_count for node in self.executor.known_nodes() if is_fit(node)},
            self._options_by_task,
        )
        return ClusterWindow(engine, config.slurm_window, lambda task_id: task_files(root, task_id), clock)

    def status_of(self, node: str, index: int) -> EngineStatus | None:
        """Return the cluster's objection to the use of a GPU, or None."""
        found = next((each for each in self.executor.known_nodes() if each.name == node), None)
        return None if found is None else judge_by_engine(found, index)

    def names(self) -> Sequence[str]:
        """Return the machines on which Slurm can start trainings, now or later."""
        return [node.name for node in self.executor.known_nodes()]


def is_fit(node: NodeState) -> bool:
    """Return whether a training may be started on a machine."""
    return node.state == "up" and node.bar is None


def judge_by_engine(node: NodeState, index: int) -> EngineStatus | None:
    """Return why the cluster does not assign a GPU of this machine, or None."""
    if node.state != "up":
        why = Reason.of(
            "the cluster reports its machine as {state} ({why})",
            "node_not_up",
            state=node.state,
            why=node.reason or Reason.of("no reason given", "no_reason_given"),
        )
        return EngineStatus(GPUStatus.BUSY if node.state == "draining" else GPUStatus.UNKNOWN, why)
    if node.bar is not None:
        return EngineStatus(GPUStatus.BUSY, node.bar)
    holder = node.holders.get(index)
    return None if not isinstance(holder, Reason) else EngineStatus(GPUStatus.BUSY, holder)


class ClusterLocations:
    """Records on which GPUs the cluster runs attempts."""

    def __init__(self, database: Database, gpus: GPUService, clock: Clock) -> None:
        self._locations = AttemptLocations(database)
        self._gpus = gpus
        self._clock = clock

    def record(self, attempt: Attempt, node: str, indices: Sequence[int]) -> None:
        """Record where an attempt runs. GPUs with unknown UUIDs stay those of the claim."""
        if self._is_recorded(attempt, node, indices):
            return
        known = {(gpu.node, gpu.reading.index): uuid for uuid, gpu in self._gpus.state.by_uuid.items()}
        uuids = [uuid for index in indices if (uuid := known.get((node, index))) is not None]
        if len(uuids) == len(indices) and self._locations.record(attempt, node, uuids, indices, self._clock.now()):
            self._gpus.republish()

    def _is_recorded(self, attempt: Attempt, node: str, indices: Sequence[int]) -> bool:
        """Return whether an attempt's record names these GPUs.

        After a GPU was moved, the record may have a UUID of another machine under the right node and index.
        """
        if (attempt.node, tuple(sorted(attempt.gpu_indices))) != (node, tuple(indices)):
            return False
        known = self._gpus.state.by_uuid
        pairs = ((known.get(uuid), index) for uuid, index in zip(attempt.gpu_uuids, attempt.gpu_indices, strict=True))
        return all(gpu is None or (gpu.node, gpu.reading.index) == (node, index) for gpu, index in pairs)
