"""The GPU answers as ready documents, made from one state."""

from collections.abc import Callable

import orjson

from api.models.gpu import GPUStatusResponse
from api.services.gpus.judgement import JudgedGPU
from api.services.gpus.metrics import CollectStats, render_gpu_metrics
from api.services.gpus.state import GPUState
from api.services.gpus.view import show_details, show_status
from api.utils.base_path import BASE_PATH
from api.utils.clock import Clock
from api.utils.documents import Address, Document, DocumentTable, Maker
from api.utils.envelope import JSON, encode_answer, encode_json

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class GPUDocuments:
    """The encoded answers of one state: by path for requests, as one message for streams."""

    def __init__(
        self, state: GPUState, clock: Clock, process_metrics: Callable[[], bytes], dcgm_hostname: str | None
    ) -> None:
        self.status: GPUStatusResponse = show_status(state.snapshot, state.gpus, clock.now())
        self._state = state
        self._clock = clock
        self._process_metrics = process_metrics
        self._dcgm_hostname = dcgm_hostname
        # Encoded once; the answer and the stream's message are built around the same bytes.
        self._status_json = orjson.Fragment(encode_json(self.status))
        self.table = DocumentTable(self._addresses())

    def message(self) -> bytes:
        """The message of the live streams."""
        return encode_json({"type": "snapshot", "timestamp": self.status.timestamp, "data": self._status_json})

    def _addresses(self) -> dict[str, Address]:
        addresses = {
            path: Address(path, make)
            for path, make in (
                (f"{BASE_PATH}/gpu/status", self._status),
                (f"{BASE_PATH}/gpu/summary", self._summary),
                (f"{BASE_PATH}/metrics", self._metrics),
                ("/metrics", self._metrics),
            )
        }
        for gpu in self._state.gpus:
            make = self._details_maker(gpu)
            for name in (gpu.reading.index, gpu.reading.uuid):
                if name is not None:
                    for ending in ("", "/details"):
                        address = Address(f"{BASE_PATH}/gpu/<gpu_id>{ending}", make)
                        addresses[f"{BASE_PATH}/gpu/{name}{ending}"] = address
        return addresses

    def _status(self) -> Document:
        return self._of_snapshot(encode_answer(self._status_json))

    def _summary(self) -> Document:
        return self._of_snapshot(encode_answer(self.status.summary))

    def _of_snapshot(self, body: bytes, content_type: str = JSON) -> Document:
        return Document(body, content_type, self._state.snapshot.taken_monotonic)

    def _details_maker(self, gpu: JudgedGPU) -> Maker:
        def make() -> Document:
            body = encode_answer(show_details(self._state.snapshot, gpu))
            return Document(body, read_monotonic=gpu.reading.read_monotonic)

        return make

    def _metrics(self) -> Document:
        snapshot = self._state.snapshot
        text = render_gpu_metrics(
            snapshot,
            self._state.gpus,
            self._state.xids,
            CollectStats(
                failed_total=self._state.failed_sweeps,
                nvml_code=0 if snapshot.problem is None else snapshot.problem_code,
            ),
            self._clock.monotonic(),
            self._dcgm_hostname,
        )
        return self._of_snapshot(text.encode() + self._process_metrics(), PROMETHEUS)
