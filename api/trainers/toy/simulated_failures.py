"""Failures that a toy training simulates on request: errors, hangs, and child processes that do not end."""

# ruff: noqa: T201 - its output is its interface

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

#: Seconds after which processes that outlive the training end, so that none stays forever.
HOLD_SECONDS = 600


class OutOfMemoryError(RuntimeError):
    """PyTorch's error for insufficient GPU memory, with the same qualified name."""

    __module__ = "torch"


class DistNetworkError(RuntimeError):
    """PyTorch's error for a port in use, with the same qualified name."""

    __module__ = "torch.distributed"


#: The exception for each value of `fail_with`, with the real trainer's text.
ERRORS: dict[str, Callable[[], Exception]] = {
    "error": lambda: RuntimeError("the toy was asked to fail here"),
    "cuda_oom": lambda: OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB of which "
        "1.12 GiB is free. (simulated by the toy)"
    ),
    "port_in_use": lambda: DistNetworkError(
        "The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, "
        "code: -98, name: EADDRINUSE, message: address already in use"
    ),
    "missing_file": lambda: FileNotFoundError(2, "No such file or directory", "/models/toy/missing.safetensors"),
    "disk_full": lambda: OSError(28, "No space left on device"),
    "gpu_lost": lambda: RuntimeError("CUDA error: uncorrectable ECC error encountered"),
}

#: The signal for each value of `fail_with` that ends the process like the kernel or a crash.
SIGNALS = {
    "host_oom": signal.SIGKILL,
    "terminated": signal.SIGTERM,
    "crash": signal.SIGSEGV,
    "nccl_timeout": signal.SIGABRT,
}

WATCHDOG = (
    "[rank0]:[E ProcessGroupNCCL.cpp:616] [Rank 0] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum=12, OpType=ALLREDUCE, Timeout(ms)=1800000) ran for 1800003 milliseconds before timing out."
)


class SimulatedFailures:
    """The failures that the table [toy] of a configuration requests."""

    def __init__(self, toy: dict[str, Any], output_dir: Path) -> None:
        self._fail_at_step: int | None = toy.get("fail_at_step")
        self._fail_with: str = toy.get("fail_with", "error")
        self._fail_once: bool = toy.get("fail_once", False)
        self._mark = output_dir / ".toy_has_failed"
        self._hang_at_step: int | None = toy.get("hang_at_step")
        self._hang_in: str | None = toy.get("hang_in")

    def loss_at(self, step: int, loss: float) -> float:
        """Return the loss, or NaN if requested."""
        is_nan = self._fail_with == "nan" and self._fail_at_step is not None and step >= self._fail_at_step
        return float("nan") if is_nan else loss

    def enter(self, stage: str) -> None:
        """Hang in a stage if requested; fail in the first one if the step to fail at is 0."""
        if self._hang_in == stage and (stage != "training" or self._hang_at_step is None):
            _hang()
        if stage == "loading":
            self.before_step(0)

    def before_step(self, step: int) -> None:
        """Hang or fail before a step if requested."""
        if step == self._hang_at_step:
            _hang()
        if step != self._fail_at_step or self._fail_with == "nan":
            return
        if self._fail_once:
            if self._mark.exists():
                return
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.touch()
        fail(self._fail_with)


def fail(how: str) -> NoReturn:
    """End the process as the real trainer would."""
    if how in ERRORS:
        raise ERRORS[how]()
    if how == "quit":
        print("Manually quitting")
    if how == "nccl_timeout":
        print(WATCHDOG)
    if how in SIGNALS:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), SIGNALS[how])
    sys.exit(0)


def spawn_children(count: int, are_nasty: bool, hold_on: bool) -> None:
    """Start processes that only wait.

    Nasty ones ignore SIGTERM; the first has its own session, the second no parent. Nasty ones, and those with
    `hold_on`, outlive this process.
    """
    parent = os.getpid()
    for number in range(count):
        if os.fork():
            continue
        if are_nasty:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if are_nasty and number == 0:
            os.setsid()
        if are_nasty and number == 1 and os.fork():
            os._exit(0)
        _wait(lambda: hold_on or are_nasty or os.getppid() == parent)
    if are_nasty and count > 1:
        os.wait()


def _wait(is_wanted: Callable[[], bool]) -> NoReturn:
    # Close the pipes to the ranks, which this process must not keep open.
    os.closerange(3, 256)
    deadline = time.monotonic() + HOLD_SECONDS
    while is_wanted() and time.monotonic() < deadline:
        time.sleep(0.2)
    os._exit(0)


def _hang() -> NoReturn:
    while True:
        time.sleep(60)
