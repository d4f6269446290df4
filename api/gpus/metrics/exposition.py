"""Render the GPU metrics of `/metrics`, with the names that existing dashboards query. Unknown values are omitted."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from api.domain.machines.reading import MIGSlice
from api.gpus.health.judgement import JudgedGPU
from api.gpus.health.xid_history import XidCount
from api.gpus.metrics.families import DCGM_FAMILIES, MIB, SMI_FAMILIES, MetricFamily, scaled
from api.gpus.snapshot import GPUSnapshot

_VERSION_NUMBER = re.compile(r"\d{1,6}(?:\.\d{1,6})?")


XidCounts = Mapping[tuple[str, int], XidCount]


@dataclass(frozen=True, slots=True)
class CollectStats:
    """The number of failed sweeps, and NVML's latest return code (None: no answer yet)."""

    failed_total: int
    nvml_code: int | None


#: Returns the snapshot of a node.
SnapshotOf = Callable[[str], GPUSnapshot]


class _Lines(list[str]):
    """The lines of a text in Prometheus or OpenMetrics format."""

    def __init__(self, is_open: bool, snapshot: GPUSnapshot, snapshot_of: SnapshotOf | None) -> None:
        super().__init__()
        self._is_open = is_open
        self._snapshot = snapshot
        self._snapshot_of = snapshot_of

    def of(self, gpu: JudgedGPU, **labels: str | int | None) -> str:
        """Return the labels of a GPU's sample, with its node if there are several."""
        return _labels(uuid=gpu.reading.uuid, **labels, node=self.node(gpu))

    def node(self, gpu: JudgedGPU) -> str | None:
        """Return the node of a GPU if there are several, else None."""
        return None if self._snapshot_of is None else gpu.node

    def snapshot_of(self, gpu: JudgedGPU) -> GPUSnapshot:
        """Return the snapshot that contains a GPU's reading."""
        return self._snapshot if self._snapshot_of is None else self._snapshot_of(gpu.node)

    def head(self, name: str, family: MetricFamily) -> None:
        """Add the header of a metric."""
        type_ = family.type
        if self._is_open and type_ == "counter":
            # In OpenMetrics a counter's samples end with _total, but its name does not. Other names cannot be counters.
            name, type_ = (name.removesuffix("_total"), type_) if name.endswith("_total") else (name, "unknown")
        self.append(f"# HELP {name} {family.help}")
        self.append(f"# TYPE {name} {type_}")


def render_gpu_metrics(
    snapshot: GPUSnapshot,
    gpus: Sequence[JudgedGPU],
    xids: XidCounts,
    collect: CollectStats,
    now: float,
    hostname: str | None,
    is_open: bool = False,
    snapshot_of: SnapshotOf | None = None,
) -> str:
    """Return the Prometheus text of one snapshot; also with DCGM's names if a hostname for them is given.

    With `is_open` the format is OpenMetrics without its end. `snapshot_of` is given if there are several nodes; then
    samples have a node label.
    """
    shown = [gpu for gpu in gpus if gpu.reading.uuid is not None and not gpu.is_twin]
    lines = _Lines(is_open, snapshot, snapshot_of)
    _render_info(lines, shown)
    _render_driver(lines, shown)
    labels = [lines.of(gpu) for gpu in shown]
    for family in SMI_FAMILIES:
        _render(lines, "nvidia_smi_" + family.name, family, zip(labels, _values(family, shown), strict=True))
    _render_processes(lines, shown)
    _render_mig(lines, shown)
    counts = [(_labels(uuid=uuid, xid=xid), float(seen.count)) for (uuid, xid), seen in xids.items()]
    times = [(_labels(uuid=uuid, xid=xid), seen.last_at) for (uuid, xid), seen in xids.items()]
    _simple(lines, "nvidia_smi_xid_errors_total", "Xid errors that the driver reported.", counts, "counter")
    _simple(lines, "nvidia_smi_xid_last_timestamp_seconds", "When the Xid was last reported.", times)
    _render_own(lines, snapshot, gpus, shown, now)
    _render_collect(lines, snapshot, collect)
    if hostname is not None:
        _render_dcgm(lines, shown, xids, hostname)
    lines.append("")
    return "\n".join(lines)


def _render(lines: _Lines, name: str, family: MetricFamily, samples: Iterable[tuple[str, float | None]]) -> None:
    found = [f"{name}{labels} {_number(value)}" for labels, value in samples if value is not None]
    if found:
        lines.head(name, family)
        lines.extend(found)


def _simple(
    lines: _Lines, name: str, help_: str, samples: Iterable[tuple[str, float | None]], type_: str = "gauge"
) -> None:
    _render(lines, name, MetricFamily(name, help_, lambda _: None, type=type_), samples)


def _values(family: MetricFamily, gpus: Iterable[JudgedGPU]) -> Iterator[float | None]:
    return (scaled(family.value(gpu), family.factor) for gpu in gpus)


def _number(value: float) -> str:
    whole = int(value)
    return str(whole) if whole == value else f"{value:.15g}"


def _escape(text: str | None) -> str:
    return (text or "").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _labels(**labels: str | int | None) -> str:
    return (
        "{" + ",".join(f'{name}="{_escape(str(value))}"' for name, value in labels.items() if value is not None) + "}"
    )


def _render_info(lines: _Lines, gpus: Sequence[JudgedGPU]) -> None:
    samples = [
        (
            lines.of(
                gpu,
                name=gpu.identity.name,
                index=gpu.reading.index,
                driver_version=lines.snapshot_of(gpu).versions.driver,
                cuda_version=lines.snapshot_of(gpu).versions.cuda,
                pci_bus_id=gpu.identity.pci_bus_id,
                source=lines.snapshot_of(gpu).source,
            ),
            1.0,
        )
        for gpu in gpus
    ]
    _simple(
        lines,
        "nvidia_smi_gpu_info",
        "Identity of the GPU; `source` distinguishes real readings from simulated ones.",
        samples,
    )


def _render_processes(lines: _Lines, gpus: Sequence[JudgedGPU]) -> None:
    infos, memory = [], []
    for gpu in gpus:
        for process in gpu.reading.processes or ():
            infos.append((lines.of(gpu, pid=process.pid, user=process.user, type=process.kind), 1.0))
            memory.append((lines.of(gpu, pid=process.pid), scaled(process.memory_mb, MIB)))
    _simple(lines, "nvidia_smi_compute_app_info", "A process that holds memory of the GPU.", infos)
    _simple(lines, "nvidia_smi_compute_app_used_memory_bytes", "Memory that the process holds.", memory)
    # A failed list must not look like an idle GPU.
    all_listed = all(gpu.reading.processes is not None for gpu in gpus if gpu.reading.fault is None)
    _simple(
        lines,
        "nvidia_smi_compute_apps_last_collect_success",
        "Whether the processes of every GPU could be listed.",
        [("", float(all_listed))],
    )


def _render_mig(lines: _Lines, gpus: Sequence[JudgedGPU]) -> None:
    slices = [(gpu, part) for gpu in gpus for part in gpu.condition.mig_slices]
    infos = [
        (
            lines.of(
                gpu,
                mig_uuid=part.uuid,
                gpu_instance_id=part.gpu_instance_id,
                compute_instance_id=part.compute_instance_id,
                profile=part.name,
            ),
            1.0,
        )
        for gpu, part in slices
    ]
    _simple(lines, "nvidia_smi_mig_info", "A MIG slice.", infos)
    # The memory belongs to the GPU instance, which its compute instances share, so it is listed once.
    instances = {lines.of(gpu, gpu_instance_id=part.gpu_instance_id): part for gpu, part in slices}
    for name, read in _MIG_MEMORY.items():
        samples = [(labels, scaled(read(part), MIB)) for labels, part in instances.items()]
        _simple(lines, f"nvidia_smi_mig_memory_{name}_bytes", f"Memory of the GPU instance: {name}.", samples)


def _mig_reserved(part: MIGSlice) -> int | None:
    if part.memory_total_mb is None or part.memory_used_mb is None or part.memory_free_mb is None:
        return None
    return part.memory_total_mb - part.memory_used_mb - part.memory_free_mb


_MIG_MEMORY: dict[str, Callable[[MIGSlice], int | None]] = {
    "total": lambda part: part.memory_total_mb,
    "used": lambda part: part.memory_used_mb,
    "free": lambda part: part.memory_free_mb,
    "reserved": _mig_reserved,
}


def _render_driver(lines: _Lines, gpus: Sequence[JudgedGPU]) -> None:
    samples = []
    for gpu in gpus:
        version = lines.snapshot_of(gpu).versions.driver
        # The exporter's older versions had a number here. 580.95.05 is not a number, so the full version is a label.
        found = _VERSION_NUMBER.match(version or "")
        if found is not None:
            samples.append((lines.of(gpu, driver_version=version), float(found[0])))
    _simple(lines, "nvidia_smi_driver_version", "Version of the driver: its first two numbers.", samples)


def _render_own(
    lines: _Lines, snapshot: GPUSnapshot, gpus: Sequence[JudgedGPU], shown: Sequence[JudgedGPU], now: float
) -> None:
    prefix = "diffusion_pipe_gpu_"
    ages = [
        (
            lines.of(gpu),
            None if gpu.reading.read_monotonic is None else round(now - gpu.reading.read_monotonic, 3),
        )
        for gpu in shown
    ]
    statuses = [(lines.of(gpu, status=gpu.judgement.status), 1.0) for gpu in shown]
    verdicts = [(lines.of(gpu, verdict=gpu.judgement.health.verdict), 1.0) for gpu in shown]
    available = [(lines.of(gpu), float(gpu.judgement.is_available)) for gpu in shown]
    tasks = [
        (lines.of(gpu, task_id=gpu.task.task_id, task_type=gpu.task.task_type), 1.0)
        for gpu in shown
        if gpu.task is not None
    ]
    _simple(lines, f"{prefix}reading_age_seconds", "Age of the reading when it was exported.", ages)
    _simple(lines, f"{prefix}status", "The status of the GPU.", statuses)
    _simple(lines, f"{prefix}health", "The verdict on the GPU.", verdicts)
    _simple(lines, f"{prefix}available", "Whether the GPU is available.", available)
    _simple(lines, f"{prefix}task", "The task that holds the GPU.", tasks)
    _simple(lines, "diffusion_pipe_gpus", "Known GPUs.", [("", float(len(gpus)))])
    _simple(lines, f"{prefix}stuck_calls", "Calls to the driver that have not returned.", [("", float(snapshot.stuck))])


def _render_collect(lines: _Lines, snapshot: GPUSnapshot, collect: CollectStats) -> None:
    ok = float(snapshot.problem is None)
    _simple(lines, "nvidia_smi_last_collect_success", "Whether the last sweep had readings.", [("", ok)])
    _simple(
        lines,
        "nvidia_smi_last_collect_duration_seconds",
        "How long the last sweep took.",
        [("", snapshot.sweep_seconds)],
    )
    _simple(
        lines,
        "nvidia_smi_failed_scrapes_total",
        "Sweeps without readings.",
        [("", float(collect.failed_total))],
        "counter",
    )
    _simple(
        lines,
        "nvidia_smi_nvml_return_code",
        "The last return code of NVML as a whole; 0 is success.",
        [("", collect.nvml_code)],
    )


def _render_dcgm(lines: _Lines, gpus: Sequence[JudgedGPU], xids: XidCounts, hostname: str) -> None:
    labels = [
        _labels(
            gpu=gpu.reading.index,
            UUID=gpu.reading.uuid,
            pci_bus_id=gpu.identity.pci_bus_id,
            device=f"nvidia{gpu.reading.index}",
            modelName=gpu.identity.name,
            hostname=lines.node(gpu) or hostname,
        )
        for gpu in gpus
    ]
    for family in DCGM_FAMILIES:
        _render(lines, "DCGM_FI_DEV_" + family.name, family, zip(labels, _values(family, gpus), strict=True))
    last = {uuid: xid for (uuid, xid), _ in sorted(xids.items(), key=lambda item: item[1].last_at)}
    samples = [(label, last.get(gpu.reading.uuid or "")) for label, gpu in zip(labels, gpus, strict=True)]
    _simple(lines, "DCGM_FI_DEV_XID_ERRORS", "The last Xid error.", samples)
