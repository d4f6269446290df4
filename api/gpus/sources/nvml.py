"""NVIDIA's management library (NVML) as a source. Every failure of it is reported with a reason."""

import ctypes
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import pynvml

from api.domain.machines.reading import (
    DriverVersions,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    SourceName,
    XidEvent,
)
from api.domain.reason import Reason
from api.domain.tasks.task import RegisteredTask
from api.gpus.sources import host
from api.gpus.sources.nvml_fields import fault_from, reason_for, text_or_none
from api.gpus.sources.nvml_readings import read_condition, read_identity, read_processes, read_vitals
from api.gpus.sources.source import SourceFault
from api.gpus.wanted_power import LimitRefused

logger = logging.getLogger(__name__)
T = TypeVar("T")

# A permanently lost GPU must not cause an initialisation every few seconds (up to 1.5 s, and a wake-up without
# persistence mode). Attempts follow at the 1st and 3rd refresh after the loss, then at every 12th.
_EARLY_ATTEMPTS = (1, 3)
_LATER_ATTEMPTS = 12

#: Milliseconds that one check for Xid errors waits. NVML queues them, so a short check each second misses none and
#: never holds the library for long.
_XID_WAIT_MS = 10

#: Seconds that a shutdown waits for a running check for Xid errors.
_XID_PATIENCE = 0.5

_REMEDIES = {
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        Reason.of("the NVIDIA driver is not loaded (NVML code {code})", "driver_not_loaded", code=9),
        Reason.of("load it with `sudo modprobe nvidia`, or install it", "load_driver"),
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        Reason.of("this user may not access the NVIDIA driver (NVML code {code})", "driver_not_permitted", code=4),
        Reason.of("give it read and write access to /dev/nvidia*", "give_access"),
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        Reason.of(
            "the NVIDIA driver and its library are of different versions (NVML code {code})", "driver_differs", code=18
        ),
        Reason.of("reboot, or unload and load the driver: it was updated while in use", "reload_driver"),
    ),
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        Reason.of("the driver lost a GPU while it was initialised (NVML code {code})", "lost_at_start", code=15),
        Reason.of(
            "reboot; if it happens again, check power, seating and cooling of the board", "reboot_and_check_board"
        ),
    ),
}


LIBRARY = "libnvidia-ml.so.1"


def library_problem() -> str | None:
    """Return why the library cannot be loaded, or None. The binding calls every such failure "not found"."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return str(error)
    return None


def library_is_absent() -> bool:
    """Return whether this machine has no NVML at all, as opposed to a broken one."""
    problem = library_problem()
    # The loader names the missing file: another name means that a dependency of the library is missing.
    return problem is not None and problem.startswith(f"{LIBRARY}:") and "No such file" in problem


class NVMLSource:
    """Reads GPUs by nvidia-ml-py."""

    name = SourceName.NVML

    def __init__(self) -> None:
        self.generation = 0
        self.versions = DriverVersions()
        self._initialised = False
        self._handles: dict[int, Any] = {}
        self._uuids: dict[int | None, str] = {}  # by the address of the handle, which events contain
        self._count = 0
        self._refreshes_since_fault: int | None = None
        # Held during a check for Xid errors, so that the library is not shut down during that call.
        self._listening = threading.Lock()
        self._event_set: Any = None

    # -- the whole library -------------------------------------------------------------------------------------------

    def refresh(self, may_reinitialise: bool) -> int:
        if self._initialised and may_reinitialise and self._is_due_for_reinitialisation():
            self._shut_down()
        if not self._initialised:
            self._initialise()
        try:
            count = int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as error:
            if may_reinitialise:
                self._shut_down()
            raise _source_fault(error) from error
        if count == 0:
            # A driver without GPUs has failed; it is not an empty result.
            if may_reinitialise:
                self._shut_down()
            raise SourceFault(
                Reason.of("the NVIDIA driver reports no GPU", "no_gpu"),
                Reason.of("check `lspci` and `dmesg` for the board", "look_for_board"),
            )
        if count != self._count:
            # GPUs were added or removed, and others may have moved: every slot must be identified again.
            self._count = count
            self.generation += 1
        return count

    def _initialise(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise _source_fault(error) from error
        self._handles.clear()
        self._uuids.clear()
        self.versions = _read_versions()
        try:
            self._event_set = pynvml.nvmlEventSetCreate()
        except pynvml.NVMLError as error:
            logger.debug("the driver has no events", extra={"error": str(error)})
        self._initialised = True
        self.generation += 1

    def _is_due_for_reinitialisation(self) -> bool:
        if self._refreshes_since_fault is None:
            return False
        self._refreshes_since_fault += 1
        n = self._refreshes_since_fault
        return n in _EARLY_ATTEMPTS or n % _LATER_ATTEMPTS == 0

    def _shut_down(self) -> None:
        if not self._listening.acquire(timeout=_XID_PATIENCE):
            # The check for Xid errors is stuck in the driver, so the library must stay loaded.
            return
        try:
            self._initialised = False
            event_set, self._event_set = self._event_set, None
            # Separately: NVML counts initialisations, and a missing shutdown keeps the library as it is.
            with suppress(pynvml.NVMLError):
                if event_set is not None:
                    pynvml.nvmlEventSetFree(event_set)
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
        finally:
            self._listening.release()

    def note_all_well(self) -> None:
        self._refreshes_since_fault = None

    def close(self) -> None:
        # No nvmlShutdown: a reader may be stuck in a call, and the process is about to end anyway.
        self._handles.clear()

    def observe_tasks(self, held: Mapping[str, RegisteredTask]) -> None:
        """Do nothing: real GPUs do not depend on it."""

    # -- one GPU ---------------------------------------------------------------------------------------------------

    def identify(self, slot: int) -> GPUIdentity:
        def read() -> GPUIdentity:
            handle = pynvml.nvmlDeviceGetHandleByIndex(slot)
            identity = read_identity(slot, handle)
            self._handles[slot] = handle
            self._uuids[_address(handle)] = identity.uuid
            self._register_for_xids(handle)
            return identity

        return self._guarded(read)

    def read_vitals(self, gpu: GPUIdentity) -> GPUVitals:
        return self._guarded(lambda: read_vitals(self._handles[gpu.index], gpu.is_integrated))

    def read_condition(self, gpu: GPUIdentity) -> GPUCondition:
        return self._guarded(lambda: read_condition(self._handles[gpu.index]))

    def read_processes(self, gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        return self._guarded(lambda: read_processes(self._handles[gpu.index]))

    def set_power_limit(self, gpu: GPUIdentity, watts: float) -> None:
        try:
            pynvml.nvmlDeviceSetPowerManagementLimit(self._handles[gpu.index], round(1000 * watts))
        except pynvml.NVMLError as error:
            raise LimitRefused(_limit_refusal(error)) from error

    def _guarded(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except pynvml.NVMLError as error:
            if self._refreshes_since_fault is None:
                self._refreshes_since_fault = 0
            raise fault_from(error) from error

    # -- errors that the driver reports on its own -----------------------------------------------------------------

    def _register_for_xids(self, handle: Any) -> None:
        if self._event_set is None:
            return
        try:
            pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._event_set)
        except pynvml.NVMLError as error:
            # Laptops and MIG parents refuse this; the other GPUs still have events.
            logger.debug("GPU has no Xid events", extra={"error": str(error)})

    def next_xid(self) -> XidEvent | None:
        with self._listening:
            if self._event_set is None:
                return None
            try:
                event = pynvml.nvmlEventSetWait_v2(self._event_set, _XID_WAIT_MS)
            except pynvml.NVMLError as error:
                if error.value != pynvml.NVML_ERROR_TIMEOUT:
                    logger.debug("looking for Xid errors failed", extra={"error": str(error)})
                return None
            # A GPU that has fallen off the bus can no longer report its UUID.
            uuid = self._uuids.get(_address(event.device)) or _uuid_of(event.device)
            return XidEvent(uuid=uuid, xid=int(event.eventData))


def _limit_refusal(error: pynvml.NVMLError) -> Reason:
    code = int(error.value)
    if code == pynvml.NVML_ERROR_NO_PERMISSION:
        return Reason.of(
            "Only root may change power limits (NVML code {code}). Run the service as root, or set the limit with "
            "`sudo nvidia-smi -pl`.",
            "limit_not_permitted",
            code=code,
        )
    if code == pynvml.NVML_ERROR_NOT_SUPPORTED:
        return Reason.of("This GPU does not support power limits (NVML code {code}).", "limit_unsupported", code=code)
    return Reason.of(
        "The driver refuses the power limit: {error} (NVML code {code}).", "limit_refused", error=str(error), code=code
    )


def _source_fault(error: pynvml.NVMLError) -> SourceFault:
    code = int(error.value)
    if code == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        problem = library_problem() or Reason.of("it was missing when it was first needed", "was_not_there")
        return SourceFault(
            Reason.of("the NVML library cannot be loaded ({why})", "library_not_loaded", why=problem),
            Reason.of("install the NVIDIA driver", "install_driver"),
            code,
        )
    if code == pynvml.NVML_ERROR_UNKNOWN and host.in_container():
        return SourceFault(
            Reason.of("the NVIDIA driver answers with an unknown error (999)", "unknown_error"),
            Reason.of(
                "the container has lost its devices, as after `systemctl daemon-reload`: restart the container",
                "restart_container",
            ),
            code,
        )
    fails = Reason.of("NVML fails with code {code} ({error})", "nvml_fails", code=code, error=str(error))
    remedy = Reason.of("see `nvidia-smi` and `dmesg`; a reload of the driver may help", "look_or_reload")
    return SourceFault(*_REMEDIES.get(code, (fails, remedy)), code)


def _read_versions() -> DriverVersions:
    unavailable: dict[str, str] = {}

    def read(field: str, call: Callable[[], Any]) -> Any:
        # An error here loses a version, not the readings.
        try:
            return call()
        except pynvml.NVMLError as error:
            unavailable[field] = reason_for(error)
            return None

    cuda = read("cuda_version", _cuda_version)
    return DriverVersions(
        driver=text_or_none(read("driver_version", pynvml.nvmlSystemGetDriverVersion)),
        cuda=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        nvml=text_or_none(read("nvml_version", pynvml.nvmlSystemGetNVMLVersion)),
        unavailable=unavailable,
    )


def _cuda_version() -> int:
    try:
        return int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    except pynvml.NVMLError:
        return int(pynvml.nvmlSystemGetCudaDriverVersion())


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value


def _uuid_of(device: Any) -> str | None:
    try:
        return text_or_none(pynvml.nvmlDeviceGetUUID(device))
    except pynvml.NVMLError:
        return None
