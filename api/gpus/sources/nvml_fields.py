"""One NVML call at a time: a value, or the reason why there is none."""

import re
from collections.abc import Callable
from typing import Any

import pynvml

from api.domain.reading import MAX_MEMORY_MB, FaultKind
from api.domain.reason import Reason
from api.gpus.sources.source import GPUFault

_UNSUPPORTED = (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

#: Errors after which no further call to the GPU is worth making in this sweep.
FATAL = frozenset(
    [
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        pynvml.NVML_ERROR_RESET_REQUIRED,
    ]
)

# A device that the driver no longer lists is as lost as one that it lists as lost.
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

# Chips whose GPU shares the host's memory, as NVML names them. Grace with Hopper or Blackwell is none: its GPU has a
# memory of its own.
_INTEGRATED = re.compile(r"\b(GB10|N1X|Thor|Orin|Xavier|Tegra|Jetson|nvgpu)\b", re.IGNORECASE)
_TEGRA_ORIN = 11  # NVML_DEVICE_ARCH_T23X of nvml.h, which the binding does not name

# Bounds outside of which a reading is an error of the driver: utilisation of 808,334,905 % and 17,179,869,184 GiB of
# memory have been seen. No board draws 5 kW or holds 16 TiB.
MAX_WATTS = 5_000
MAX_MEGAHERTZ = 20_000
MAX_FAN_PERCENT = 200  # of the speed that the board was designed for
MAX_PSTATE = 15
MAX_RECOVERY_ACTION = 255
MAX_PCIE_GENERATION = 10
MAX_PCIE_LANES = 32
MAX_MILLIJOULES = MAX_WATTS * 1000 * 10 * 365 * 86_400  # ten years at full power


def reason_for(error: pynvml.NVMLError) -> str:
    """Why a field is null, as one word."""
    if error.value in _UNSUPPORTED:
        return "unsupported"
    if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
        return "no_permission"
    return f"nvml_error_{error.value}"


def fault_from(error: pynvml.NVMLError) -> GPUFault:
    """What it means for the GPU when a call to it fails for good."""
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
    """The value when it is physically possible, else None with the reason `implausible`."""
    if value is None or low <= value <= high:
        return value
    unavailable[field] = "implausible"
    return None


def memory_in_mb(memory: Any, unavailable: dict[str, str]) -> tuple[int | None, int | None, int | None]:
    """Total, used and free memory of an NVML memory structure in MiB."""
    total = within(memory.total >> 20, 1, MAX_MEMORY_MB, "memory.total", unavailable)
    bound = MAX_MEMORY_MB if total is None else total
    return (
        total,
        within(memory.used >> 20, 0, bound, "memory.used", unavailable),
        within(memory.free >> 20, 0, bound, "memory.free", unavailable),
    )


def throttle_names(bits: int) -> tuple[str, ...]:
    """The reasons why the clocks are not at their maximum, in words."""
    return tuple(name for bit, name in _THROTTLE_NAMES.items() if bits & bit)


def name_of_architecture(number: int | None) -> str | None:
    """The name of the GPU's generation."""
    return None if number is None else _ARCHITECTURES.get(number)


def is_integrated(name: str | None, architecture: int | None, has_no_pci: bool) -> bool:
    """Whether a GPU is known to be a part of the host's own chip and to share its memory."""
    return has_no_pci or architecture == _TEGRA_ORIN or (name is not None and bool(_INTEGRATED.search(name)))


def text_or_none(value: str | bytes | None) -> str | None:
    """The value as text, which some versions of the binding give as bytes; None when there is none or it is empty."""
    return (value.decode(errors="replace") if isinstance(value, bytes) else value) or None


class FieldReader:
    """Reads the fields of one GPU and keeps the reasons for those that it does not have."""

    __slots__ = ("missing_function", "unavailable")

    def __init__(self) -> None:
        self.unavailable: dict[str, str] = {}
        self.missing_function = False

    def field(self, field: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """The value, or None with its reason noted. Raises NVMLError when the GPU itself is gone."""
        try:
            return call(*arguments)
        except pynvml.NVMLError as error:
            if error.value in FATAL:
                raise
            self.missing_function = error.value == pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
            self.unavailable[field] = reason_for(error)
            return None

    def note_all(self, error: pynvml.NVMLError, *fields: str) -> None:
        """Notes one reason for several fields. Raises the error again when the GPU itself is gone."""
        if error.value in FATAL:
            raise error
        self.unavailable.update(dict.fromkeys(fields, reason_for(error)))

    def bounded(self, field: str, highest: int, call: Callable[..., int], *arguments: Any) -> int | None:
        """A count from 0 to the highest that is physically possible."""
        checked: int | None = within(self.field(field, call, *arguments), 0, highest, field, self.unavailable)
        return checked

    def percent(self, field: str, value: int) -> int | None:
        """A percentage within 0 to 100."""
        checked: int | None = within(value, 0, 100, field, self.unavailable)
        return checked

    def percent_of(self, field: str, call: Callable[..., list[int]], handle: Any) -> int | None:
        """The first figure of a (utilisation, sampling period) pair."""
        pair = self.field(field, call, handle)
        return None if pair is None else self.percent(field, pair[0])

    def temperature(self, field: str, call: Callable[..., int], *arguments: Any) -> int | None:
        """A temperature in °C."""
        checked: int | None = within(self.field(field, call, *arguments), -50, 150, field, self.unavailable)
        return checked

    def watts(self, field: str, call: Callable[..., int], handle: Any) -> float | None:
        """Power in W, of a call that answers in mW."""
        milliwatts = self.field(field, call, handle)
        watts = None if milliwatts is None else milliwatts / 1000
        checked: float | None = within(watts, 0, MAX_WATTS, field, self.unavailable)
        return checked
