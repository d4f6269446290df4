"""Simulate GPUs for machines without NVML. Their readings are consistent and follow the tasks."""

import random
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from api.domain.machines.reading import (
    Clocks,
    DriverVersions,
    ECCErrors,
    FaultKind,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    MemoryRepair,
    ProcessKind,
    SourceName,
    XidEvent,
)
from api.domain.reason import Reason
from api.domain.tasks.task import RegisteredTask, TaskType
from api.gpus.sources import host
from api.gpus.sources.boards import Board
from api.gpus.sources.simulated_events import SimulatedEvent, SimulatedFault
from api.gpus.sources.source import GPUFault
from api.util.clock import Clock

_AMBIENT = 28.0
_SECONDS_TO_LOAD = 10.0  # time to load a model into memory
# Bytes that a busy GPU receives by PCIe, and the share that it sends: batches go in, a loss comes out.
_PCIE_BYTES_PER_SECOND = 240e6
_SENT = 0.1

_SECONDS_TO_UNLOAD = 4.0  # long enough to show a released GPU as draining
_THERMAL_SECONDS = 40.0  # time constant of the cooler

# The share of the board that a task uses: (utilisation, share of the memory).
_LOADS = {
    TaskType.TRAINING: (0.97, 0.82),
    TaskType.PREPROCESSING: (0.60, 0.35),
    TaskType.CACHE: (0.90, 0.60),
    TaskType.REHEARSAL: (0.97, 0.82),
    TaskType.DOWNLOAD: (0.02, 0.03),
    TaskType.PUSH: (0.02, 0.03),
    TaskType.EXPORT: (0.97, 0.82),
    TaskType.SAMPLE: (0.02, 0.03),
    TaskType.EXTERNAL: (0.85, 0.60),
}


class SimulatedSource:
    """A source of simulated GPUs: the same seed, clock and tasks give the same readings."""

    name = SourceName.SIMULATED
    generation = 1
    versions = DriverVersions(driver="simulated", cuda=None, nvml=None)

    def __init__(self, boards: Sequence[Board], seed: int, clock: Clock, events: Sequence[SimulatedEvent] = ()) -> None:
        """Create the source. `events` are the faults of the GPUs."""
        self._clock = clock
        self._began = clock.monotonic()
        self._events = events
        self._xids = [event for event in events if event.xid is not None and event.gpu < len(boards)]
        self._gpus = [_SimulatedGPU(slot, board, seed, clock) for slot, board in enumerate(boards)]
        self._held: Mapping[str, RegisteredTask] = {}

    def refresh(self, may_reinitialise: bool) -> int:
        return len(self._gpus)

    def identify(self, slot: int) -> GPUIdentity:
        self._faults(slot)
        return self._gpus[slot].identity

    def read_vitals(self, gpu: GPUIdentity) -> GPUVitals:
        faults = self._faults(gpu.index)
        return with_faults(self._gpus[gpu.index].vitals(self._held.get(gpu.uuid)), faults, gpu)

    def _faults(self, slot: int) -> set[SimulatedFault]:
        """Return the current faults of a GPU.

        Raises GPUFault when it is lost.
        """
        elapsed = self._clock.monotonic() - self._began
        faults = {event.fault for event in self._events if event.gpu == slot and event.is_on(elapsed)}
        if SimulatedFault.LOST in faults:
            raise GPUFault(FaultKind.LOST, Reason.of("its loss is simulated", "simulated_loss"))
        return faults

    def read_condition(self, gpu: GPUIdentity) -> GPUCondition:
        return self._gpus[gpu.index].condition

    def read_processes(self, gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        task = self._held.get(gpu.uuid)
        if task is None or task.process is None:
            # Do not invent a process: its pid could be that of a real one.
            return ()
        memory = self._gpus[gpu.index].task_memory_mb
        return (host.describe_gpu_process(task.process.pid, ProcessKind.COMPUTE, memory),)

    def set_power_limit(self, gpu: GPUIdentity, watts: float) -> None:
        self._gpus[gpu.index].set_limit(watts)

    def next_xid(self) -> XidEvent | None:
        elapsed = self._clock.monotonic() - self._began
        due = next((event for event in self._xids if event.at <= elapsed), None)
        if due is None or due.xid is None:
            return None
        self._xids.remove(due)
        return XidEvent(self._gpus[due.gpu].identity.uuid, due.xid)

    def observe_tasks(self, held: Mapping[str, RegisteredTask]) -> None:
        self._held = held

    def note_all_well(self) -> None:
        """Do nothing: a simulated source needs no recovery."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class _SimulatedGPU:
    """One board and its state; used only by its own reader."""

    def __init__(self, slot: int, board: Board, seed: int, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self._random = random.Random(f"{seed}/{slot}")
        self._last = clock.monotonic()
        self._loaded = 0.0  # the loaded share of the task's memory
        self._memory_share = 0.0
        self._utilisation = 0.0
        self._temperature = _AMBIENT + self._random.uniform(2, 7)
        self._energy = 0.0
        self._received = 0.0
        self._baseline_mb = self._random.randint(1, 18)
        self.task_memory_mb = 0
        self.identity = _identity_of(slot, board, uuid.UUID(int=self._random.getrandbits(128), version=4))
        self._limit = float(board.power_limit)
        self.condition = _condition_of(board)

    def vitals(self, task: RegisteredTask | None) -> GPUVitals:
        self._advance(task)
        board = self._board
        reserved = board.memory_mb // 60
        used = self._baseline_mb + self.task_memory_mb
        watts = self._watts()
        busy = self._utilisation > 0.01
        sm_clock = int(board.sm_clock * (0.93 + 0.05 * self._random.random())) if busy else board.sm_clock // 10
        return GPUVitals(
            memory_total_mb=board.memory_mb,
            memory_used_mb=used,
            memory_free_mb=board.memory_mb - reserved - used,
            memory_reserved_mb=reserved,
            utilization_gpu=round(100 * self._utilisation),
            utilization_memory=round(62 * self._utilisation),
            utilization_encoder=0,
            utilization_decoder=0,
            temperature_gpu=round(self._temperature),
            temperature_memory=round(self._temperature + 6) if board.datacenter else None,
            power_watts=round(watts, 1),
            energy_joules=round(self._energy, 1),
            pcie_rx_bytes=int(self._received),
            pcie_tx_bytes=int(self._received * _SENT),
            fan_percent=None if board.datacenter else max(30 if busy else 0, round((self._temperature - 40) * 2.2)),
            clocks=Clocks(sm_clock, sm_clock, board.memory_clock if busy else 405, int(sm_clock * 0.85)),
            pstate=2 if busy else 8,
            throttle_reasons=("sw_power_cap",) if watts > 0.97 * self._limit else () if busy else ("gpu_idle",),
            unavailable={"fan_speed" if board.datacenter else "temperature.memory": "unsupported"},
        )

    def set_limit(self, watts: float) -> None:
        self._limit = watts
        self.condition = replace(self.condition, power_limit_watts=watts, power_enforced_limit_watts=watts)

    def _advance(self, task: RegisteredTask | None) -> None:
        now = self._clock.monotonic()
        seconds, self._last = max(0.0, now - self._last), now
        self._energy += self._watts() * seconds
        self._received += self._utilisation * _PCIE_BYTES_PER_SECOND * seconds
        if task is None:
            self._loaded = max(0.0, self._loaded - seconds / _SECONDS_TO_UNLOAD)
            self._utilisation = 0.0
        else:
            load, self._memory_share = _LOADS[task.task_type]
            self._loaded = min(1.0, self._loaded + seconds / _SECONDS_TO_LOAD)
            # While the model loads, the GPU is hardly used. Pauses between steps reduce full use a little.
            jitter = self._random.uniform(-0.04, 0.03)
            self._utilisation = min(1.0, max(0.0, load + jitter)) if self._loaded >= 1.0 else 0.05
        self.task_memory_mb = int(self._board.memory_mb * self._memory_share * self._loaded)
        target = _AMBIENT + 5 + 45 * self._watts() / self._board.power_limit
        self._temperature += (target - self._temperature) * min(1.0, seconds / _THERMAL_SECONDS)

    def _watts(self) -> float:
        share = self._utilisation * (0.93 + 0.05 * self._random.random())
        return self._board.idle_watts + (self._limit - self._board.idle_watts) * share


def with_faults(vitals: GPUVitals, faults: Collection[SimulatedFault], gpu: GPUIdentity) -> GPUVitals:
    """Return the readings of a GPU with these faults."""
    reasons = set(vitals.throttle_reasons or ()) - {"gpu_idle"}
    if SimulatedFault.OVERHEATS in faults:
        hot = (gpu.temperature_slowdown or 90) + 2
        vitals = replace(vitals, temperature_gpu=hot, throttle_reasons=(*sorted(reasons | {"hw_thermal_slowdown"}),))
    if SimulatedFault.FAN_STOPS in faults:
        vitals = replace(vitals, temperature_gpu=max(vitals.temperature_gpu or 0, 78), fan_percent=0)
    if SimulatedFault.POWER_BRAKE in faults:
        vitals = replace(vitals, throttle_reasons=(*sorted(reasons | {"hw_power_brake_slowdown"}),))
    return vitals


def _identity_of(slot: int, board: Board, name: uuid.UUID) -> GPUIdentity:
    return GPUIdentity(
        index=slot,
        uuid=f"GPU-{name}",
        name=board.name,
        pci_bus_id=f"{slot // 32:08X}:{slot % 32 + 1:02X}:00.0",
        serial=None,
        architecture=board.architecture,
        compute_capability=board.compute_capability,
        power_default_limit_watts=float(board.power_limit),
        power_min_limit_watts=float(board.power_limit // 3),
        power_max_limit_watts=float(board.power_limit * 11 // 10),
        temperature_slowdown=90,
        temperature_shutdown=95,
        clocks_max=Clocks(board.sm_clock, board.sm_clock, board.memory_clock, int(board.sm_clock * 0.85)),
        pcie_max_generation=5 if board.datacenter else 4,
        pcie_max_width=16,
        unavailable={"serial": "simulated"},
    )


def _condition_of(board: Board) -> GPUCondition:
    return GPUCondition(
        power_limit_watts=float(board.power_limit),
        power_enforced_limit_watts=float(board.power_limit),
        ecc=ECCErrors(True, 0, 0, 0, 0) if board.datacenter else ECCErrors(enabled=False),
        repair=MemoryRepair(
            remapped_rows_corrected=0,
            remapped_rows_uncorrected=0,
            remapped_rows_pending=False,
            remapped_rows_failure=False,
        ),
        pcie_generation=5 if board.datacenter else 4,
        pcie_width=16,
        compute_mode="default",
        persistence_mode=True,
        mig_enabled=False,
        mig_pending=False,
        unavailable={
            "nvlink": "simulated",
            "memory_repair.retired_pages": "simulated",
            "memory_repair.retired_pages_pending": "simulated",
        },
    )
