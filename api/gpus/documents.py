"""Build the GPU answers of one state as encoded documents, each with its ETag (`api.util.http.documents`)."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import orjson

from api.domain.access.read_scope import ReadScope
from api.domain.machines.gpu import GPUStatusResponse
from api.gpus.fleet_views import count_names, narrow, placed, show_state
from api.gpus.health.judgement import JudgedGPU
from api.gpus.hiding import hide_in_state
from api.gpus.lookup import names_of
from api.gpus.metrics.exposition import CollectStats, render_gpu_metrics
from api.gpus.state import GPUState
from api.gpus.views import show_details
from api.util.clock import Clock
from api.util.http.base_path import BASE_PATH
from api.util.http.documents import Address, Document, DocumentTable, Maker
from api.util.http.envelope import JSON, encode_answer, encode_json

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


#: Renders the metrics of this process; with True as OpenMetrics, including its end.
ProcessMetrics = Callable[[bool], bytes]


def no_process_metrics(is_open: bool) -> bytes:
    """Return the metrics of a process that has none."""
    return b"# EOF\n" if is_open else b""


@dataclass(frozen=True, slots=True)
class MetricsOptions:
    """What `/metrics` has beside the values of GPUs."""

    process: ProcessMetrics = no_process_metrics
    dcgm_hostname: str | None = None  #: None: without the names that NVIDIA's exporter uses


class GPUDocuments:
    """The encoded answers of one state: by path for requests, and as one message for streams."""

    def __init__(
        self,
        state: GPUState,
        clock: Clock,
        process_metrics: ProcessMetrics,
        dcgm_hostname: str | None,
        judged_at: datetime | None = None,
    ) -> None:
        """Create the documents. `judged_at` defaults to the current time."""
        self.state = state
        self._judged_at = judged_at or clock.now()
        self._clock = clock
        self._process_metrics = process_metrics
        self._dcgm_hostname = dcgm_hostname
        # The paths of single GPUs are computed on the first request: a fleet has tens of thousands.
        self.table = DocumentTable(self._addresses(), self._addresses_of_gpus)
        self._lock = threading.Lock()
        self._seen: dict[ReadScope, GPUDocuments] = {}
        self._of_nodes: dict[str, GPUDocuments] = {}
        self._before: dict[ReadScope, GPUDocuments] = {}

    @cached_property
    def status(self) -> GPUStatusResponse:
        """The answer of `/gpu/status`, built on first access."""
        return show_state(self.state, self._judged_at)

    @cached_property
    def _status_json(self) -> orjson.Fragment:
        """The same, encoded once; the answer and the stream's message share the bytes."""
        return orjson.Fragment(encode_json(self.status))

    def follow(self, before: "GPUDocuments") -> None:
        """Reuse the previous state's answers for readers whose view has not changed.

        Otherwise the answers' timestamps would reveal changes in other users' data.
        """
        if before.state.snapshot is self.state.snapshot and before.state.parts == self.state.parts:
            self._before = before.list_seen()

    def list_seen(self) -> "dict[ReadScope, GPUDocuments]":
        """Return the latest answers for each scope since the GPUs were read."""
        with self._lock:
            return {**self._before, **self._seen}

    def seen_by(self, scope: ReadScope) -> "GPUDocuments":
        """Return the answers for a reader with this scope. They are built once per scope."""
        if scope.is_whole:
            return self
        with self._lock:
            if scope not in self._seen:
                self._seen[scope] = self._hide(scope)
            return self._seen[scope]

    def of_node(self, node: str | None) -> "GPUDocuments":
        """Return the answers about the GPUs of this node; of all nodes for None.

        Raises NodeNotFound.
        """
        if node is None:
            return self
        narrowed = narrow(self.state, node)
        # Use the stored name: the request's may differ in case.
        node = narrowed.nodes[0].name
        with self._lock:
            if node not in self._of_nodes:
                self._of_nodes[node] = GPUDocuments(
                    narrowed, self._clock, no_process_metrics, self._dcgm_hostname, self.state.snapshot.taken_at
                )
            return self._of_nodes[node]

    def make_all(self) -> None:
        """Build the answers that will be requested, so that requests need not wait; for a fleet only the list."""
        if not self.state.is_fleet:
            self.table.make_all()
            return
        for path in (f"{BASE_PATH}/gpu/status", f"{BASE_PATH}/gpu/summary"):
            self.table.get(path)

    def _hide(self, scope: ReadScope) -> "GPUDocuments":
        state, before = hide_in_state(self.state, scope), self._before.get(scope)
        if before is not None and before.state == state:
            return before
        return GPUDocuments(
            state,
            self._clock,
            # The service's own metrics count the trainings and requests of all users.
            self._process_metrics if scope.sees_all else no_process_metrics,
            self._dcgm_hostname,
            self.state.snapshot.taken_at,
        )

    def message(self) -> bytes:
        """Return the message of the live streams."""
        return encode_json({"type": "snapshot", "timestamp": self.status.timestamp, "data": self._status_json})

    def _addresses(self) -> dict[str, Address]:
        addresses = {
            path: Address(path, make)
            for path, make in (
                (f"{BASE_PATH}/gpu/status", self._status),
                (f"{BASE_PATH}/gpu/summary", self._summary),
            )
        }
        for path in (f"{BASE_PATH}/metrics", "/metrics"):
            addresses[path] = Address(path, self._metrics, self._open_metrics)
        return addresses

    def _addresses_of_gpus(self) -> dict[str, Address]:
        addresses = {}
        meant = count_names(self.state.gpus, self.state.is_fleet)
        for gpu in self.state.gpus:
            make = self._details_maker(gpu)
            for name in names_of(gpu, self.state.is_fleet):
                if meant[name] == 1:
                    for ending in ("", "/details"):
                        address = Address(f"{BASE_PATH}/gpu/<gpu_id>{ending}", make)
                        addresses[f"{BASE_PATH}/gpu/{name}{ending}"] = address
        return addresses

    def _status(self) -> Document:
        return self._of_snapshot(encode_answer(self._status_json))

    def _summary(self) -> Document:
        return self._of_snapshot(encode_answer(self.status.summary))

    def _of_snapshot(self, body: bytes) -> Document:
        return Document(body, JSON, self.state.snapshot.taken_monotonic)

    def _details_maker(self, gpu: JudgedGPU) -> Maker:
        def make() -> Document:
            body = encode_answer(placed(self.state, gpu.node, show_details(self.state.snapshot_of(gpu.node), gpu)))
            return Document(body, read_monotonic=gpu.reading.read_monotonic)

        return make

    def _metrics(self) -> Document:
        return self._metrics_as(is_open=False)

    def _open_metrics(self) -> Document:
        return self._metrics_as(is_open=True)

    def _metrics_as(self, is_open: bool) -> Document:
        snapshot = self.state.snapshot
        text = render_gpu_metrics(
            snapshot,
            self.state.gpus,
            self.state.xids,
            CollectStats(
                failed_total=self.state.failed_sweeps,
                nvml_code=0 if snapshot.problem is None else snapshot.problem_code,
            ),
            self._clock.monotonic(),
            self._dcgm_hostname,
            is_open,
            self.state.snapshot_of if self.state.is_fleet else None,
        )
        body = text.encode() + self._process_metrics(is_open)
        kind = OPENMETRICS if is_open else PROMETHEUS
        return Document(body, kind, snapshot.taken_monotonic, b"Accept-Encoding, Accept")
