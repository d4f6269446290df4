"""Stores the GPU history of a day: this machine's at each sweep, other machines' every 30 s."""

from datetime import datetime

from api.domain.history import GPUHistoryResponse, Metric
from api.domain.node import SILENT_SECONDS
from api.gpus.fleet_view import placed
from api.gpus.history import UNITS, GPUHistory
from api.gpus.lookup import find_gpu
from api.gpus.state import GPUState

#: Seconds between two samples of other machines' GPUs: 8,000 of them take 0.4 GB for a day.
OTHERS_SECONDS = 30.0


class FleetHistory:
    """The history of this machine's GPUs and of all others."""

    def __init__(self, interval: float) -> None:
        self.own = GPUHistory(interval)
        self._others = GPUHistory(max(interval, OTHERS_SECONDS))

    def record_others(self, state: GPUState) -> None:
        """Record one sample of each GPU of other machines."""
        if state.is_fleet:
            now = state.snapshot.taken_monotonic
            others = [gpu.reading for gpu in state.gpus if gpu.node != state.node and not gpu.is_twin]
            fresh = [
                (gpu, gpu.read_monotonic is not None and now - gpu.read_monotonic <= SILENT_SECONDS) for gpu in others
            ]
            self._others.record(state.snapshot.taken_at.timestamp(), now, fresh)

    def show(
        self, state: GPUState, reference: str, metric: Metric, since: datetime, until: datetime, step: float | None
    ) -> GPUHistoryResponse:
        """Return the history of one metric of one GPU.

        Raises GPUNotFound.
        """
        gpu = find_gpu(state, reference)
        history = self.own if gpu.node == state.node else self._others
        # A GPU with another GPU's UUID has no history.
        uuid = "" if gpu.is_twin else gpu.reading.uuid or ""
        series = history.read(uuid, metric, since.timestamp(), until.timestamp(), step)
        shown: GPUHistoryResponse = placed(
            state,
            gpu.node,
            GPUHistoryResponse(
                gpu_id=gpu.reading.index,
                uuid=gpu.reading.uuid,
                metric=metric,
                unit=UNITS[metric],
                since=since,
                until=until,
                step=series.step,
                data=series.points,
                source=state.snapshot_of(gpu.node).source,
            ),
        )
        return shown
