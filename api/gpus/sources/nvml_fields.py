"""Wrap single NVML calls: each returns a value, or the reason why there is none."""

import re
from collections.abc import Callable
from typing import Any

import pynvml

from api.domain.machines.reading import MAX_MEMORY_MB, FaultKind
from api.domain.reason import Reason
from api.gpus.sources.source import GPUFault

_UNSUPPORTED = (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

#: Errors after which further calls to the GPU in this sweep are useless.
FATAL = frozenset(
    [
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        pynvml.NVML_ERROR_RESET_REQUIRED,
    ]
)

# A device that the driver no longer lists counts as lost.
_LOST = frozenset([pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT])

_THROTTLE_NAMES = {
    pynvml.nvmlClocksEventReasonGpuIdle: "gpu_idle",
    pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "applications_clocks_setting",
    pynvml.nvmlClocksEventReasonSwPowerCap: "sw_power_cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hw_slowdown",
    pynvml.nvmlClocksEventReasonSyncBoost: "sync_boost",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "sw_thermal_slowdown",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "hw_thermal_slowdown",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "hw_power_brake_slowdown",
    pynvml.nvmlClocksEventReasonDisplayClockSetting: "display_clock_setting",
}

_ARCHITECTURES = {
    pynvml.NVML_DEVICE_ARCH_KEPLER: "Kepler",
    pynvml.NVML_DEVICE_ARCH_MAXWELL: "Maxwell",
    pynvml.NVML_DEVICE_ARCH_PASCAL: "Pascal",
    pynvml.NVML_DEVICE_ARCH_VOLTA: "Volta",
    pynvml.NVML_DEVICE_ARCH_TURING: "Turing",
    pynvml.NVML_DEVICE_ARCH_AMPERE: "Ampere",
    pynvml.NVML_DEVICE_ARCH_ADA: "Ada",
    pynvml.NVML_DEVICE_ARCH_HOPPER: "Hopper",
    pynvml.NVML_DEVICE_ARCH_BLACKWELL: "Blackwell",
}

# Chips whose GPU shares the host's memory, as NVML names them. Grace with Hopper or Blackwell is not one: its GPU has
# its own memory.
_INTEGRATED = re.compile(r"\b(GB10|N1X|Thor|Orin|Xavier|Tegra|Jetson|nvgpu)\b", re.IGNORECASE)
_TEGRA_ORIN = 11  # NVML_DEVICE_ARCH_T23X of nvml.h, which the binding does not name

# Limits beyond which a reading is a driver error: utilisation of 808,334,905 % and 17,179,869,184 GiB of memory have
# been observed. No board draws 5 kW or has 16 TiB.
MAX_WATTS = 5_000
MAX_MEGAHERTZ = 20_000
MAX_FAN_PERCENT = 200  # of the speed that the board was designed for
MAX_PSTATE = 15
MAX_RECOVERY_ACTION = 255
MAX_PCIE_GENERATION = 10
MAX_PCIE_LANES = 32
MAX_MILLIJOULES = MAX_WATTS * 1000 * 10 * 365 * 86_400  # ten years at full power


def reason_for(error: pynvml.NVMLError) -> str:
    """Return why a field is null, as an identifier."""
    if error.value in _UNSUPPORTED:
        return "unsupported"
    if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
        return "no_permission"
    return f"nvml_error_{error.value}"


def fault_from(error: pynvml.NVMLError) -> GPUFault:
    """Return the fault of a GPU after a call has failed permanently."""
    code = int(error.value)
    if code in _LOST:
        return GPUFault(
            FaultKind.LOST,
            Reason.of("the driver has lost this GPU (NVML code {code})", "driver_lost_it_code", code=code),
        )
    if code == pynvml.NVML_ERROR_NO_PERMISSION:
        return GPUFault(
            FaultKind.NO_PERMISSION,
            Reason.of("this user may not read this GPU (NVML code {code})", "gpu_not_permitted", code=code),
        )
    if code == pynvml.NVML_ERROR_RESET_REQUIRED:
        return GPUFault(
            FaultKind.UNREADABLE,
            Reason.of(
                "this GPU must be reset: `nvidia-smi --gpu-reset` (NVML code {code})", "gpu_needs_reset", code=code
            ),
        )
    why = Reason.of("this GPU cannot be read: {error} (NVML code {code})", "gpu_not_read", error=str(error), code=code)
    return GPUFault(FaultKind.UNREADABLE, why)


def within(value: Any, low: float, high: float, field: str, unavailable: dict[str, str]) -> Any:
    """Return the value if it is physically possible, else None with the reason `implausible`."""
    if value is None or low <= value <= high:
        return value
    unavailable[field] = "implausible"
    return None


def memory_in_mb(memory: Any, unavailable: dict[str, str]) -> tuple[int | None, int | None, int | None]:
    """Return total, used and free memory of an NVML memory structure in MiB."""
    total = within(memory.total >> 20, 1, MAX_MEMORY_MB, "memory.total", unavailable)
    bound = MAX_MEMORY_MB if total is None else total
    return (
        total,
        within(memory.used >> 20, 0, bound, "memory.used", unavailable),
        within(memory.free >> 20, 0, bound, "memory.free", unavailable),
    )


def throttle_names(bits: int) -> tuple[str, ...]:
    """Return the names of the reasons why the clocks are not at their maximum."""
    return tuple(name for bit, name in _THROTTLE_NAMES.items() if bits & bit)


def name_of_architecture(number: int | None) -> str | None:
    """Return the name of the GPU's generation."""
    return None if number is None else _ARCHITECTURES.get(number)


def is_integrated(name: str | None, architecture: int | None, has_no_pci: bool) -> bool:
    """Return whether a GPU is known to be part of the host's chip and to share its memory."""
    return has_no_pci or architecture == _TEGRA_ORIN or (name is not None and bool(_INTEGRATED.search(name)))


def text_or_none(value: str | bytes | None) -> str | None:
    """Return the value as text (some versions of the binding return bytes); None if missing or empty."""
    return (value.decode(errors="replace") if isinstance(value, bytes) else value) or None


class FieldReader:
    """Reads the fields of one GPU and stores the reasons for missing ones."""

    __slots__ = ("missing_function", "unavailable")

    def __init__(self) -> None:
        self.unavailable: dict[str, str] = {}
        self.missing_function = False

    def field(self, field: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return the value, or None with its reason stored.

        Raises NVMLError when the GPU itself is lost.
        """
        try:
            return call(*arguments)
        except pynvml.NVMLError as error:
            if error.value in FATAL:
                raise
            self.missing_function = error.value == pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
            self.unavailable[field] = reason_for(error)
            return None

    def note_all(self, error: pynvml.NVMLError, *fields: str) -> None:
        """Store one reason for several fields.

        Raises the error again when the GPU itself is lost.
        """
        if error.value in FATAL:
            raise error
        self.unavailable.update(dict.fromkeys(fields, reason_for(error)))

    def bounded(self, field: str, highest: int, call: Callable[..., int], *arguments: Any) -> int | None:
        """Return a count from 0 to the highest that is physically possible."""
        checked: int | None = within(self.field(field, call, *arguments), 0, highest, field, self.unavailable)
        return checked

    def percent(self, field: str, value: int) -> int | None:
        """Return a percentage within 0 to 100."""
        checked: int | None = within(value, 0, 100, field, self.unavailable)
        return checked

    def percent_of(self, field: str, call: Callable[..., list[int]], handle: Any) -> int | None:
        """Return the first value of a (utilisation, sampling period) pair."""
        pair = self.field(field, call, handle)
        return None if pair is None else self.percent(field, pair[0])

    def temperature(self, field: str, call: Callable[..., int], *arguments: Any) -> int | None:
        """Return a temperature in °C."""
        checked: int | None = within(self.field(field, call, *arguments), -50, 150, field, self.unavailable)
        return checked

    def watts(self, field: str, call: Callable[..., int], handle: Any) -> float | None:
        """Return power in W, from a call that returns mW."""
        milliwatts = self.field(field, call, handle)
        watts = None if milliwatts is None else milliwatts / 1000
        checked: float | None = within(watts, 0, MAX_WATTS, field, self.unavailable)
        return checked
