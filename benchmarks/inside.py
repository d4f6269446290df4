"""Measurements inside the service's components in a separate process: `python -m benchmarks.inside WHAT COUNT`."""

import argparse
import gc
import json
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import pynvml
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.composition.composition import Runtime
from api.config import read_config
from api.domain.tasks.task import TaskType
from api.gpus.monitor import GPUMonitor
from api.util.clock import FakeClock
from benchmarks.servers import MANY_GPUS
from benchmarks.sweep import INTERVAL_SECONDS

METRICS = "/metrics"

Call = tuple[Callable[..., Any], tuple[Any, ...]]

#: Sweeps after which everything has been read once: what changes seldom is read every 30 s.
SWEEPS_A_CYCLE = 6

#: Seconds between two measured sweeps, so that each finds the processor as cold as a sweep does.
PAUSE_SECONDS = 0.01


def main() -> None:
    """Run a measurement and print the result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inside", description=__doc__)
    parser.add_argument("what", choices=("sweep", "metrics"))
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    print(json.dumps({"sweep": measure_sweeps, "metrics": measure_metrics}[arguments.what](arguments.count)))


class _Sweeps:
    """A runtime whose sweeps are called directly, 5 s apart on its own clock; its storage is temporary."""

    def __init__(self, **settings: str) -> None:
        self._clock = FakeClock()
        self._storage = tempfile.TemporaryDirectory()
        settings["STORAGE_ROOT"] = self._storage.name
        self.runtime = Runtime(read_config(environ=settings, dotenv_path=None), self._clock)
        self.runtime.prepare()
        publish = self.runtime.services.gpus.service.publish
        self._monitor = GPUMonitor(self.runtime.source, INTERVAL_SECONDS, self._clock, publish)
        self.run(SWEEPS_A_CYCLE)
        # As run.py does after loading.
        gc.collect()
        gc.freeze()

    def run(self, count: int) -> float:
        """Return CPU milliseconds of each of `count` sweeps in all threads."""
        taken = 0.0
        for _ in range(count):
            self._clock.advance(INTERVAL_SECONDS)
            began = time.process_time()
            self._monitor.sweep()
            taken += time.process_time() - began
            time.sleep(PAUSE_SECONDS)
        return 1000 * taken / count


def measure_sweeps(count: int) -> dict[str, float]:
    """Measure CPU milliseconds of a sweep and of its NVML calls alone."""
    recorder = _Recorder()
    sweeps = _Sweeps(GPU_SOURCE="nvml")
    sweep_ms = sweeps.run(count)
    with recorder:
        sweeps.run(SWEEPS_A_CYCLE)
    return {
        "gpus": len(sweeps.runtime.services.gpus.service.get_all_gpus()),
        "sweep_ms": sweep_ms,
        "bare_ms": _replay(recorder.calls, max(1, count // SWEEPS_A_CYCLE)),
        "calls": len(recorder.calls) / SWEEPS_A_CYCLE,
    }


class _Recorder:
    """Notes the drop_covered_sizes calls to the binding while it is entered."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._originals = {name: value for name, value in vars(pynvml).items() if name.startswith("nvml")}
        self._originals = {name: value for name, value in self._originals.items() if callable(value)}
        self._inside = threading.local()

    def __enter__(self) -> None:
        for name, function in self._originals.items():
            if not isinstance(function, type):
                setattr(pynvml, name, self._recording(function))

    def __exit__(self, *exc: object) -> None:
        for name, function in self._originals.items():
            setattr(pynvml, name, function)

    def _recording(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if getattr(self._inside, "call", False):
                return function(*arguments)
            self.calls.append((function, arguments))
            self._inside.call = True
            try:
                return function(*arguments)
            finally:
                self._inside.call = False

        return call


def _replay(calls: list[Call], times: int) -> float:
    """Return CPU milliseconds of one sweep's calls, over `times` cycles."""
    size, taken = len(calls) // SWEEPS_A_CYCLE, 0.0
    for start in [*range(0, size * SWEEPS_A_CYCLE, size)] * times:
        began = time.process_time()
        for function, arguments in calls[start : start + size]:
            try:
                function(*arguments)
            except pynvml.NVMLError:
                continue
        taken += time.process_time() - began
        time.sleep(PAUSE_SECONDS)
    return 1000 * taken / times / SWEEPS_A_CYCLE


def measure_metrics(count: int) -> dict[str, float]:
    """Measure milliseconds to render the metrics of 256 GPUs, and as many series with prometheus-client."""
    sweeps = _Sweeps(GPU_SOURCE="simulated", SIMULATED_GPUS=MANY_GPUS)
    gpus = sweeps.runtime.services.gpus.service
    task = gpus.tasks.register([0], TaskType.TRAINING)
    taken, text = 0.0, b""
    for number in range(count):
        # After a change between sweeps, the first request renders the documents.
        gpus.tasks.update_progress(task.task_id, progress=number % 100)
        began = time.process_time()
        document = gpus.documents.get(METRICS)
        taken += time.process_time() - began
        assert document is not None
        text = document.body
    registry, series = _as_gauges(text.decode())
    began = time.process_time()
    for _ in range(count):
        generate_latest(registry)
    peer = time.process_time() - began
    return {"render_ms": 1000 * taken / count, "peer_ms": 1000 * peer / count, "series": series}


def _as_gauges(text: str) -> tuple[CollectorRegistry, int]:
    registry, series = CollectorRegistry(), 0
    for family in text_string_to_metric_families(text):
        if not family.samples:
            continue
        gauge: Gauge | None = None
        for sample in family.samples:
            if sample.name != family.samples[0].name or set(sample.labels) != set(family.samples[0].labels):
                continue
            if gauge is None:
                gauge = Gauge(sample.name, family.documentation, sorted(sample.labels), registry=registry)
            (gauge.labels(**sample.labels) if sample.labels else gauge).set(sample.value)
            series += 1
    return registry, series


if __name__ == "__main__":
    main()
