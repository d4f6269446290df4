"""A simulated NVIDIA driver: a machine described in Python, served by a stand-in libnvidia-ml.so.1."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Value = int | str | Sequence[int] | None
Process = tuple[int, int | None] | tuple[int, int | None, int, int]

LIBRARY = "libnvidia-ml.so.1"
SOURCE = Path(__file__).with_name("nvml.c")
MAX_GPUS = 1024
MAX_MIG = 7
ALL_XIDS_KEPT = 1024
GPU_IS_LOST = 15

# Taken from the C source, so that both sides use the same names.
_SOURCE_TEXT = SOURCE.read_text()
FUNCTIONS = frozenset(re.findall(r"\bFUNCTION\((nvml\w+)\)", _SOURCE_TEXT))
FIELDS = frozenset(re.findall(r"\b(?:NUMBER|TEXT|LIST)\((\w+)\)", _SOURCE_TEXT))
MACHINE_FIELDS = frozenset({"driver_version", "nvml_version", "cuda_version", "count"})

_FLAGS = ("-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-pthread", f"-Wl,-soname,{LIBRARY}")


def compiler() -> str | None:
    """Return the C compiler on PATH, or None."""
    return shutil.which("gcc") or shutil.which("cc")


def build(directory: Path) -> Path:
    """Compile the library into a directory, unless an up-to-date one exists, and return its path."""
    directory = directory.resolve()
    target = directory / LIBRARY
    if target.exists() and target.stat().st_mtime_ns >= SOURCE.stat().st_mtime_ns:
        return target
    gcc = compiler()
    if gcc is None:
        raise RuntimeError("no C compiler on PATH")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        made = Path(scratch) / LIBRARY
        done = subprocess.run([gcc, *_FLAGS, "-o", str(made), str(SOURCE)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"cannot compile {SOURCE}:\n{done.stderr}")
        made.replace(target)
    return target


def _h100(index: int, name: str, memory_total_mb: int) -> dict[str, Value]:
    return {
        "uuid": f"GPU-{uuid.uuid5(uuid.NAMESPACE_OID, f'gpu {index}')}",
        "name": name,
        "serial": f"{1650000000000 + index}",
        "pci_bus_id": f"{index // 255:08X}:{index % 255 + 1:02X}:00.0",
        "pci_device_id": 0x233010DE,
        "pci_subsystem_id": 0x16C110DE,
        "minor_number": index,
        "architecture": 9,
        "brand": 14,
        "compute_capability_major": 9,
        "compute_capability_minor": 0,
        "memory_total": memory_total_mb << 20,
        "memory_reserved": 0,
        "memory_used": 4 << 20,
        "utilization_gpu": 0,
        "utilization_memory": 0,
        "utilization_encoder": 0,
        "utilization_decoder": 0,
        "encoder_period_us": 100000,
        "decoder_period_us": 100000,
        "temperature": 31 + index % 5,
        "memory_temperature": 42 + index % 5,
        "threshold_shutdown": 92,
        "threshold_slowdown": 89,
        "threshold_memory_max": 95,
        "threshold_gpu_max": 87,
        "power_usage": 70000 + 250 * (index % 8),
        "power_limit": 700000,
        "power_limit_default": 700000,
        "power_limit_enforced": 700000,
        "power_limit_min": 200000,
        "power_limit_max": 700000,
        "energy": 1000000000 + index,
        "performance_state": 0,
        "clock_graphics": 345,
        "clock_sm": 345,
        "clock_memory": 2619,
        "clock_video": 765,
        "clock_graphics_max": 1980,
        "clock_sm_max": 1980,
        "clock_memory_max": 2619,
        "clock_video_max": 1545,
        "clocks_event_reasons": 1,
        "pcie_generation": 5,
        "pcie_generation_max": 5,
        "pcie_width": 16,
        "pcie_width_max": 16,
        "ecc_mode": 1,
        "ecc_mode_pending": 1,
        "ecc_corrected_volatile": 0,
        "ecc_corrected_aggregate": 0,
        "ecc_uncorrected_volatile": 0,
        "ecc_uncorrected_aggregate": 0,
        "remapped_rows_correctable": 0,
        "remapped_rows_uncorrectable": 0,
        "remapped_rows_pending": 0,
        "remapped_rows_failure": 0,
        "compute_mode": 0,
        "persistence_mode": 1,
        "mig_mode": 0,
        "mig_mode_pending": 0,
        "mig_devices_max": 7,
        "nvlink_version": 4,
        "nvlink_state": [1] * 18,
        "supported_event_types": 0x1F1F,
        "recovery_action": 0,
        "pcie_rx_bytes": 1_000_000,
        "pcie_tx_bytes": 2_000_000,
        "compute_processes": [],
        "graphics_processes": [],
    }


def _text(value: Value) -> str:
    if value is None:
        return "unsupported"
    if isinstance(value, str):
        if "\n" in value:
            raise ValueError("a value cannot span lines")
        return value
    if isinstance(value, int):
        return str(int(value))
    return ",".join(str(int(item)) for item in value)


def _check_field(key: str) -> None:
    plain = re.sub(rf"^mig\.[0-{MAX_MIG - 1}]\.", "", key)
    if plain not in FIELDS:
        raise KeyError(f"the stand-in knows no field {key!r}")


def _check_function(function: str) -> None:
    if function != "*" and function not in FUNCTIONS:
        raise KeyError(f"the stand-in has no function {function!r}")


class StandIn:
    """One machine: the library that programs load, and the state file from which the library answers.

    Pass `environment()` to the child process that should see this machine. Changes apply at its next call.
    """

    def __init__(self, directory: Path, library: Path | None = None) -> None:
        """Describe a machine without GPUs; `library` is an existing build, else it is built in `directory`."""
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.library = (library or build(self.directory)).resolve()
        self.state = self.directory / "state"
        self._lock = threading.RLock()
        self._held = 0
        self._written_ns = 0
        self._sequence = 0
        self._machine: dict[str, str] = {
            "driver_version": "580.95.05",
            "nvml_version": "13.580.95.05",
            "cuda_version": "13000",
        }
        self._gpus: list[dict[str, str]] = []
        # The lines of each GPU are stored as text, so that a change of one GPU does not render all again.
        self._rendered: list[str | None] = []
        self._xids: list[str] = []
        self._write()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make a child process use this machine."""
        before = os.environ.get("LD_LIBRARY_PATH")
        folders = [str(self.library.parent), *([before] if before else [])]
        return {"LD_LIBRARY_PATH": ":".join(folders), "STANDIN_NVML_STATE": str(self.state)}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write the changes made inside to the state file together, at the end."""
        with self._lock:
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1
                self._write()

    def add_gpus(
        self, count: int, name: str = "NVIDIA H100 80GB HBM3", memory_total_mb: int = 81559, **values: Value
    ) -> range:
        """Add idle GPUs with the given fields changed, and return their indices."""
        for key in values:
            _check_field(key)
        with self.together():
            first = len(self._gpus)
            if first + count > MAX_GPUS:
                raise ValueError(f"the stand-in has room for {MAX_GPUS} GPUs")
            for index in range(first, first + count):
                fields = {**_h100(index, name, memory_total_mb), **values}
                self._gpus.append({key: _text(value) for key, value in fields.items()})
                self._rendered.append(None)
            return range(first, first + count)

    def set(self, gpu: int | None, key: str, value: Value) -> None:
        """Set a field of one GPU, or of the machine with None; the value None makes the field unsupported.

        Numbers are in NVML's own units, such as bytes, milliwatts and millijoules. A slice's field is
        `mig.<slice>.<field>`, and the value `error:<code>` makes the field return that code.
        """
        if gpu is not None:
            _check_field(key)
        elif key not in MACHINE_FIELDS:
            raise KeyError(f"the stand-in knows no machine-wide field {key!r}")
        self._put(gpu, key, _text(value))

    def set_processes(
        self,
        gpu: int,
        processes: Sequence[Process],
        kind: Literal["compute", "graphics"] = "compute",
        mig: int | None = None,
    ) -> None:
        """Set the processes on a GPU or one of its slices: (pid, bytes or None), optionally with both instance ids."""
        items = [":".join("-" if part is None else str(part) for part in process) for process in processes]
        self.set(gpu, f"{'' if mig is None else f'mig.{mig}.'}{kind}_processes", ",".join(items))

    def add_mig(self, gpu: int, slices: Sequence[tuple[str, int]], **values: Value) -> range:
        """Enable MIG and add slices, each (profile such as "1g.10gb", memory in MiB); return their indices."""
        with self.together():
            fields = self._gpus[gpu]
            taken = {int(key.split(".")[1]) for key in fields if key.startswith("mig.")}
            first = max(taken, default=-1) + 1
            if first + len(slices) > MAX_MIG:
                raise ValueError(f"a GPU has room for {MAX_MIG} slices")
            self.set(gpu, "mig_mode", 1)
            self.set(gpu, "mig_mode_pending", 1)
            for index, (profile, memory_mb) in enumerate(slices, first):
                size = int(profile.split("g.")[0])
                slice_fields: dict[str, Value] = {
                    "uuid": f"MIG-{uuid.uuid5(uuid.NAMESPACE_OID, f'gpu {gpu} slice {index}')}",
                    "name": f"{fields['name']} MIG {profile}",
                    "memory_total": memory_mb << 20,
                    "memory_reserved": 0,
                    "memory_used": 1 << 20,
                    "gpu_instance_id": index + 1,
                    "compute_instance_id": 0,
                    "gpu_slices": size,
                    "compute_slices": size,
                    "multiprocessors": 16 * size,
                    "mig_mode": 1,
                    "mig_mode_pending": 1,
                    "compute_processes": [],
                    "graphics_processes": [],
                    **values,
                }
                for key, value in slice_fields.items():
                    self.set(gpu, f"mig.{index}.{key}", value)
            return range(first, first + len(slices))

    def remove_mig(self, gpu: int) -> None:
        """Disable MIG and remove every slice of a GPU."""
        with self.together():
            for key in [key for key in self._gpus[gpu] if key.startswith("mig.")]:
                del self._gpus[gpu][key]
            self.set(gpu, "mig_mode", 0)
            self.set(gpu, "mig_mode_pending", 0)

    def fail(self, function: str, code: int, gpu: int | None = None) -> None:
        """Make a function (all with "*") return a code, on one GPU or on the whole machine."""
        _check_function(function)
        self._put(gpu, f"code.{function}", str(code))

    def delay(self, function: str, milliseconds: int, gpu: int | None = None) -> None:
        """Delay a function (all with "*"), on one GPU or on the whole machine."""
        _check_function(function)
        self._put(gpu, f"delay_ms.{function}", str(milliseconds))

    def lose(self, gpu: int) -> None:
        """Remove a GPU from the bus: every call on it, including for its handle, returns GPU_IS_LOST."""
        self.fail("*", GPU_IS_LOST, gpu)

    def hang(self, gpu: int, milliseconds: int) -> None:
        """Make every call on a GPU take this long, until it is restored."""
        self.delay("*", milliseconds, gpu)

    def fail_driver(self, code: int) -> None:
        """Make every call return a code, with priority over other settings."""
        self._put(None, "driver_code", str(code))

    def restore(self, gpu: int | None = None) -> None:
        """Remove the failures and delays of a GPU, or all of them, including the driver's."""
        with self.together():
            for index in range(len(self._gpus)) if gpu is None else [gpu]:
                kept = {key: text for key, text in self._gpus[index].items() if not key.startswith(("code.", "delay_"))}
                if len(kept) != len(self._gpus[index]):
                    self._gpus[index] = kept
                    self._rendered[index] = None
            if gpu is None:
                for key in [key for key in self._machine if key.startswith(("code.", "delay_", "driver_code"))]:
                    del self._machine[key]

    def raise_xid(self, gpu: int, xid: int) -> int:
        """Raise an Xid error on a GPU for every registered event set, and return its sequence number."""
        with self.together():
            self._sequence += 1
            self._xids.append(f"xid.{self._sequence}={gpu}:{xid}\n")
            del self._xids[:-ALL_XIDS_KEPT]
            return self._sequence

    def _put(self, gpu: int | None, key: str, text: str) -> None:
        with self.together():
            if gpu is None:
                self._machine[key] = text
            else:
                self._gpus[gpu][key] = text
                self._rendered[gpu] = None

    def _write(self) -> None:
        with self._lock:
            if self._held:
                return
            for index, fields in enumerate(self._gpus):
                if self._rendered[index] is None:
                    self._rendered[index] = "".join(f"gpu.{index}.{key}={text}\n" for key, text in fields.items())
            machine = {"count": str(len(self._gpus)), **self._machine}
            lines = [f"{key}={text}\n" for key, text in machine.items()]
            whole = "".join([*lines, *(text for text in self._rendered if text is not None), *self._xids])
            beside = self.state.with_name(self.state.name + ".tmp")
            beside.write_text(whole)
            # Two changes within one tick of the file system's clock must differ, as an inode may be reused.
            self._written_ns = max(time.time_ns(), self._written_ns + 1)
            os.utime(beside, ns=(self._written_ns, self._written_ns))
            beside.replace(self.state)
