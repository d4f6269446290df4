"""Read one GPU through nvidia-ml-py: identity, vitals, condition and processes, by its handle."""

import ctypes
from collections.abc import Callable
from typing import Any

import pynvml

from api.domain.machines.reading import (
    MAX_MEMORY_MB,
    Clocks,
    ECCErrors,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    MemoryRepair,
    MIGSlice,
    NVLink,
    ProcessKind,
)
from api.gpus.sources import host
from api.gpus.sources.nvml_fields import (
    MAX_FAN_PERCENT,
    MAX_MEGAHERTZ,
    MAX_MILLIJOULES,
    MAX_PCIE_GENERATION,
    MAX_PCIE_LANES,
    MAX_PSTATE,
    MAX_RECOVERY_ACTION,
    MAX_WATTS,
    FieldReader,
    is_integrated,
    memory_in_mb,
    name_of_architecture,
    text_or_none,
    throttle_names,
    within,
)
from api.gpus.sources.source import ProcessesUnlistedError

_NO_INSTANCE = 0xFFFFFFFF  # NVML's value for "not on a MIG instance"

_COMPUTE_MODES = {
    pynvml.NVML_COMPUTEMODE_DEFAULT: "default",
    pynvml.NVML_COMPUTEMODE_PROHIBITED: "prohibited",
    pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive_process",
}


_FIELDS = (
    pynvml.NVML_FI_DEV_MEMORY_TEMP,  # there is no second temperature sensor
    pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION,
    pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES,
    pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES,
)
_WIDE_TYPES = (pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG, pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG)


class FieldValues:
    """The answers for one GPU. If the whole call fails, each field fails with its code."""

    def __init__(self, handle: Any) -> None:
        self._values: dict[int, Any] = {}
        self._error: pynvml.NVMLError | None = None
        try:
            answers = pynvml.nvmlDeviceGetFieldValues(handle, list(_FIELDS))
            self._values = {int(value.fieldId): value for value in answers}
        except pynvml.NVMLError as error:
            self._error = error

    def get(self, field: int) -> int:
        """Return one value.

        Raises NVMLError.
        """
        if self._error is not None:
            raise self._error
        value = self._values[field]
        if value.nvmlReturn != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(value.nvmlReturn)
        return int(value.value.ullVal if value.valueType in _WIDE_TYPES else value.value.uiVal)


def read_identity(slot: int, handle: Any) -> GPUIdentity:
    """Return the GPU's UUID, name and other constant values.

    Raises NVMLError when the GPU itself is lost.
    """
    read = FieldReader()
    pci = read.field("pcie.bus_id", pynvml.nvmlDeviceGetPciInfo, handle)
    bus_id = None if pci is None else text_or_none(pci.busId)
    capability = read.field("compute_capability", pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    lowest, highest = _power_limits(read, handle)
    name = text_or_none(read.field("name", pynvml.nvmlDeviceGetName, handle))
    architecture = read.field("architecture", pynvml.nvmlDeviceGetArchitecture, handle)
    return GPUIdentity(
        index=slot,
        # Very old boards have no UUID; the bus location is the next best stable identifier.
        uuid=text_or_none(read.field("uuid", pynvml.nvmlDeviceGetUUID, handle)) or f"PCI-{bus_id or slot}",
        name=name,
        pci_bus_id=bus_id,
        serial=text_or_none(read.field("serial", pynvml.nvmlDeviceGetSerial, handle)),
        architecture=name_of_architecture(architecture),
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        power_default_limit_watts=read.watts(
            "power.default_limit", pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle
        ),
        power_min_limit_watts=lowest,
        power_max_limit_watts=highest,
        temperature_slowdown=_threshold(
            read, handle, "temperature.slowdown", pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        ),
        temperature_shutdown=_threshold(
            read, handle, "temperature.shutdown", pynvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN
        ),
        clocks_max=_clocks(read, "clocks.max", pynvml.nvmlDeviceGetMaxClockInfo, handle),
        pcie_max_generation=read.bounded(
            "pcie.max_generation", MAX_PCIE_GENERATION, pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle
        ),
        pcie_max_width=read.bounded("pcie.max_width", MAX_PCIE_LANES, pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle),
        is_integrated=is_integrated(name, architecture, read.unavailable.get("pcie.bus_id") == "unsupported"),
        unavailable=read.unavailable,
    )


def _power_limits(read: FieldReader, handle: Any) -> tuple[float | None, float | None]:
    limits = read.field("power.min_limit", pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle)
    if limits is None:
        read.unavailable["power.max_limit"] = read.unavailable["power.min_limit"]
        return None, None
    lowest, highest = (
        within(limit / 1000, 0, MAX_WATTS, field, read.unavailable)
        for limit, field in zip(limits, ("power.min_limit", "power.max_limit"), strict=True)
    )
    return lowest, highest


def _threshold(read: FieldReader, handle: Any, field: str, threshold: int) -> int | None:
    value = read.field(field, pynvml.nvmlDeviceGetTemperatureThreshold, handle, threshold)
    checked: int | None = within(value, 1, 200, field, read.unavailable)
    return checked


def read_vitals(handle: Any, is_integrated: bool) -> GPUVitals:
    """Return the constantly changing values. An integrated GPU may show the host's memory.

    Raises NVMLError when the GPU itself is lost.
    """
    read = FieldReader()
    total, used, free, reserved, unified = _memory(handle, read, is_integrated)
    rates = read.field("utilization.gpu", pynvml.nvmlDeviceGetUtilizationRates, handle)
    if rates is None:
        read.unavailable["utilization.memory"] = read.unavailable["utilization.gpu"]
    reasons = read.field("throttle_reasons", _throttle_bits, handle)
    fields = FieldValues(handle)
    energy = read.bounded("power.energy_joules", MAX_MILLIJOULES, pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
    return GPUVitals(
        memory_total_mb=total,
        memory_used_mb=used,
        memory_free_mb=free,
        memory_reserved_mb=reserved,
        memory_unified=unified,
        utilization_gpu=None if rates is None else read.percent("utilization.gpu", rates.gpu),
        utilization_memory=None if rates is None else read.percent("utilization.memory", rates.memory),
        utilization_encoder=read.percent_of("utilization.encoder", pynvml.nvmlDeviceGetEncoderUtilization, handle),
        utilization_decoder=read.percent_of("utilization.decoder", pynvml.nvmlDeviceGetDecoderUtilization, handle),
        temperature_gpu=read.temperature(
            "temperature.gpu", pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU
        ),
        temperature_memory=read.temperature("temperature.memory", fields.get, pynvml.NVML_FI_DEV_MEMORY_TEMP),
        power_watts=read.watts("power.current", pynvml.nvmlDeviceGetPowerUsage, handle),
        energy_joules=None if energy is None else energy / 1000,
        fan_percent=read.bounded("fan_speed", MAX_FAN_PERCENT, pynvml.nvmlDeviceGetFanSpeed, handle),
        clocks=_clocks(read, "clocks.current", pynvml.nvmlDeviceGetClockInfo, handle),
        pstate=read.bounded("pstate", MAX_PSTATE, pynvml.nvmlDeviceGetPerformanceState, handle),
        throttle_reasons=None if reasons is None else throttle_names(reasons),
        recovery_action=read.bounded(
            "recovery_action", MAX_RECOVERY_ACTION, fields.get, pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
        ),
        pcie_rx_bytes=read.field("pcie.rx_bytes", fields.get, pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES),
        pcie_tx_bytes=read.field("pcie.tx_bytes", fields.get, pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES),
        unavailable=read.unavailable,
    )


def _memory(
    handle: Any, read: FieldReader, is_integrated: bool
) -> tuple[int | None, int | None, int | None, int | None, bool]:
    try:
        memory, reserved = _memory_info(handle)
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_NOT_SUPPORTED and is_integrated:
            # GB10 and Thor share the host's memory and have none of their own to report.
            read.unavailable["memory.reserved"] = "unified_memory"
            return (*host.host_memory_mb(), None, True)
        if error.value == pynvml.NVML_ERROR_UNKNOWN:
            # A GPU that cannot report its memory is unusable.
            raise
        read.note_all(error, "memory.total", "memory.used", "memory.free", "memory.reserved")
        return None, None, None, None, False
    total, used, free = memory_in_mb(memory, read.unavailable)
    if reserved is None:
        read.unavailable["memory.reserved"] = "unsupported"
    reserved = within(reserved, 0, total or MAX_MEMORY_MB, "memory.reserved", read.unavailable)
    return total, used, free, reserved, False


def read_condition(handle: Any) -> GPUCondition:
    """Return the rarely changing values.

    Raises NVMLError when the GPU itself is lost.
    """
    read = FieldReader()
    mig = read.field("mig", pynvml.nvmlDeviceGetMigMode, handle)
    mode = read.field("compute_mode", pynvml.nvmlDeviceGetComputeMode, handle)
    persistence = read.field("persistence_mode", pynvml.nvmlDeviceGetPersistenceMode, handle)
    return GPUCondition(
        power_limit_watts=read.watts("power.limit", pynvml.nvmlDeviceGetPowerManagementLimit, handle),
        power_enforced_limit_watts=read.watts("power.enforced_limit", pynvml.nvmlDeviceGetEnforcedPowerLimit, handle),
        ecc=_ecc(read, handle),
        repair=_repair(read, handle),
        pcie_generation=read.bounded(
            "pcie.generation", MAX_PCIE_GENERATION, pynvml.nvmlDeviceGetCurrPcieLinkGeneration, handle
        ),
        pcie_width=read.bounded("pcie.width", MAX_PCIE_LANES, pynvml.nvmlDeviceGetCurrPcieLinkWidth, handle),
        nvlinks=_nvlinks(read, handle),
        compute_mode=None if mode is None else _COMPUTE_MODES.get(mode, f"mode_{mode}"),
        persistence_mode=None if persistence is None else bool(persistence),
        mig_enabled=None if mig is None else bool(mig[0]),
        mig_pending=None if mig is None else bool(mig[1]),
        fabric_state=read.field("fabric_state", _fabric_state, handle),
        mig_slices=_mig_slices(handle) if mig is not None and mig[0] else (),
        unavailable=read.unavailable,
    )


def _memory_info(handle: Any) -> tuple[Any, int | None]:
    """Return memory by version 2, which separates reserved from used memory; version 1 for older drivers."""
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
        return memory, memory.reserved >> 20
    except pynvml.NVMLError as error:
        if error.value in (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_UNINITIALIZED):
            raise
    return pynvml.nvmlDeviceGetMemoryInfo(handle), None


def _throttle_bits(handle: Any) -> int:
    try:
        return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
    # The name before driver 535.
    return int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _fabric_state(handle: Any) -> int:
    info = pynvml.c_nvmlGpuFabricInfo_v2_t()
    info.version = pynvml.nvmlGpuFabricInfo_v2
    pynvml.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info))
    state = int(info.state) & 0xFF  # only one byte is valid, despite the binding's type
    if state == pynvml.NVML_GPU_FABRIC_STATE_NOT_SUPPORTED:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return state


def _clocks(read: FieldReader, prefix: str, call: Callable[[Any, int], int], handle: Any) -> Clocks:
    def clock(name: str, kind: int) -> int | None:
        return read.bounded(f"{prefix}.{name}", MAX_MEGAHERTZ, call, handle, kind)

    return Clocks(
        graphics=clock("graphics", pynvml.NVML_CLOCK_GRAPHICS),
        sm=clock("sm", pynvml.NVML_CLOCK_SM),
        memory=clock("memory", pynvml.NVML_CLOCK_MEM),
        video=clock("video", pynvml.NVML_CLOCK_VIDEO),
    )


def _ecc(read: FieldReader, handle: Any) -> ECCErrors | None:
    mode = read.field("ecc", pynvml.nvmlDeviceGetEccMode, handle)
    if mode is None:
        return None
    if not mode[0]:
        read.unavailable["ecc"] = "disabled"
        return ECCErrors(enabled=False)

    def errors(name: str, kind: int, counter: int) -> int | None:
        count: int | None = read.field(f"ecc.{name}", pynvml.nvmlDeviceGetTotalEccErrors, handle, kind, counter)
        return count

    corrected, uncorrected = pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    volatile, aggregate = pynvml.NVML_VOLATILE_ECC, pynvml.NVML_AGGREGATE_ECC
    return ECCErrors(
        enabled=True,
        corrected_volatile=errors("corrected_volatile", corrected, volatile),
        uncorrected_volatile=errors("uncorrected_volatile", uncorrected, volatile),
        corrected_aggregate=errors("corrected_aggregate", corrected, aggregate),
        uncorrected_aggregate=errors("uncorrected_aggregate", uncorrected, aggregate),
    )


def _repair(read: FieldReader, handle: Any) -> MemoryRepair:
    rows = read.field("memory_repair.remapped_rows", pynvml.nvmlDeviceGetRemappedRows, handle)
    pages = [
        read.field("memory_repair.retired_pages", pynvml.nvmlDeviceGetRetiredPages, handle, cause)
        for cause in (
            pynvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
            pynvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
        )
    ]
    pending = read.field("memory_repair.retired_pages_pending", pynvml.nvmlDeviceGetRetiredPagesPendingStatus, handle)
    return MemoryRepair(
        retired_pages=None if None in pages else sum(len(p) for p in pages),
        retired_pages_pending=None if pending is None else bool(pending),
        remapped_rows_corrected=None if rows is None else rows[0],
        remapped_rows_uncorrected=None if rows is None else rows[1],
        remapped_rows_pending=None if rows is None else bool(rows[2]),
        remapped_rows_failure=None if rows is None else bool(rows[3]),
    )


def _nvlinks(read: FieldReader, handle: Any) -> tuple[NVLink, ...] | None:
    links: list[NVLink] = []
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        try:
            links.append(NVLink(link=link, active=bool(pynvml.nvmlDeviceGetNvLinkState(handle, link))))
        except pynvml.NVMLError as error:
            if not links:
                read.note_all(error, "nvlink")
            # Links are numbered without gaps: the first missing one ends the list.
            break
    return tuple(links) or None


def _mig_slices(handle: Any) -> tuple[MIGSlice, ...]:
    slices = []
    for index in range(FieldReader().field("count", pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        try:
            device = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError:
            # Slots between slices are empty.
            continue
        read = FieldReader()
        memory = read.field("memory", _memory_info, device)
        total, used, free = (None, None, None) if memory is None else memory_in_mb(memory[0], read.unavailable)
        slices.append(
            MIGSlice(
                uuid=text_or_none(read.field("uuid", pynvml.nvmlDeviceGetUUID, device)),
                name=text_or_none(read.field("name", pynvml.nvmlDeviceGetName, device)),
                gpu_instance_id=read.field("gpu_instance", pynvml.nvmlDeviceGetGpuInstanceId, device),
                compute_instance_id=read.field("compute_instance", pynvml.nvmlDeviceGetComputeInstanceId, device),
                memory_total_mb=total,
                memory_used_mb=used,
                memory_free_mb=free,
            )
        )
    return tuple(slices)


def read_processes(handle: Any) -> tuple[GPUProcess, ...]:
    """Return the processes that hold its memory.

    Raises NVMLError when the GPU is lost, else ProcessesUnlistedError.
    """
    read = FieldReader()
    compute = _running(
        read,
        "compute",
        handle,
        pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
        pynvml.nvmlDeviceGetComputeRunningProcesses_v2,
    )
    graphics = _running(
        read,
        "graphics",
        handle,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2,
    )
    # An unknown list is not an empty one. Only boards without graphics may have no graphics list.
    unknown = read.unavailable.get("compute") or read.unavailable.get("graphics")
    if compute is None or (graphics is None and unknown != "unsupported"):
        raise ProcessesUnlistedError(unknown or "unsupported")
    # A process may be listed once for each MIG slice, and in both lists.
    found: dict[tuple[int, int], tuple[ProcessKind, int | None]] = {}
    for kind, listed in ((ProcessKind.COMPUTE, compute or ()), (ProcessKind.GRAPHICS, graphics or ())):
        for raw in listed:
            key = (int(raw.pid), int(getattr(raw, "gpuInstanceId", _NO_INSTANCE)))
            memory = _process_memory(raw)
            if key in found:
                known = found[key][1]
                found[key] = (ProcessKind.BOTH, max((m for m in (known, memory) if m is not None), default=None))
            else:
                found[key] = (kind, memory)
    return tuple(
        host.describe_gpu_process(pid, kind, memory, None if instance == _NO_INSTANCE else instance)
        for (pid, instance), (kind, memory) in found.items()
    )


def _running(
    read: FieldReader, kind: str, handle: Any, call: Callable[[Any], list[Any]], older: Callable[[Any], list[Any]]
) -> list[Any] | None:
    found: list[Any] | None = read.field(kind, call, handle)
    if found is None and read.missing_function:
        # Drivers before 510 have only version 2.
        found = read.field(kind, older, handle)
    return found


def _process_memory(raw: Any) -> int | None:
    # Windows and WSL report no memory per process; other platforms have been seen to report 2^64 - 1 bytes.
    memory = None if raw.usedGpuMemory is None else raw.usedGpuMemory >> 20
    return None if memory is None or memory > MAX_MEMORY_MB else memory
