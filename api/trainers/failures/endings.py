"""The cause of an ending for which no error was printed: from its signal, its exit code, or its losses."""

import re
import signal
from collections.abc import Sequence
from itertools import dropwhile, takewhile

from api.domain.reason import Reason
from api.domain.tasks.cause import Cause, CauseCode
from api.trainers.failures.stages import TrainerStage, last_stage
from api.trainers.protocol.error_lines import LINE_LIMIT
from api.trainers.trainer import Ending

#: Consecutive NaN losses that count as the cause if nothing else explains the failure.
NAN_IN_A_ROW = 10

#: Lines shown when there is no traceback.
_LAST_LINES = 10

#: Stages before the first step in which most of the machine's memory is used.
_BEFORE_STEPS = (TrainerStage.CONNECTED, TrainerStage.CACHING, TrainerStage.LOADING)

#: The first line of the dump of Python's fault handler, and the frames in it that are close to a crash.
_FAULT = re.compile(r"Fatal Python error: (?:Segmentation fault|Aborted|Bus error|Illegal instruction|Floating)")
_INNER_FRAMES = 8
_NATIVE_PACKAGE = re.compile(
    r"-packages/(flash_attn(?:_interface)?|xformers|bitsandbytes|sageattention|deepspeed(?=/ops/)|transformer_engine"
    r"|torch|torchvision|torchaudio|torchao|triton|comfy_kitchen|safetensors|tokenizers|sentencepiece|pyarrow|numpy"
    r"|scipy|av|PIL|cv2|tensorboard|google|wandb)[/.]"
)
_MEDIA_PACKAGES = frozenset(("av", "PIL", "cv2"))


def signal_number(ending: Ending) -> int | None:
    """Return the number of the signal that ended the trainer, also by the exit code of its launcher, or None."""
    if ending.signal is not None:
        return ending.signal
    code = ending.exit_code or 0
    # The launcher exits with -n for signal n. 255 is excluded, as programs use exit(-1) themselves.
    if 192 <= code < 255:
        return 256 - code
    return code - 128 if 128 < code < 192 else None


def killed(ending: Ending, number: int) -> Cause:
    """Return the cause of an ending by this signal."""
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    lines = last_lines(ending)
    if ending.stop_requested and name in ("SIGTERM", "SIGKILL", "SIGINT"):
        return Cause.of(
            CauseCode.KILLED,
            "killed_on_stop",
            "the trainer was stopped and ended with {signal}",
            "resume it from its last checkpoint",
            lines,
            signal=name,
        )
    stage = last_stage(ending.last_lines)
    if name == "SIGKILL" and stage in _BEFORE_STEPS:
        return Cause.of(
            CauseCode.HOST_OUT_OF_MEMORY,
            "killed_before_training",
            "the kernel or another program killed a process before the first step (SIGKILL); most likely the machine "
            "ran out of memory while weights were loaded, which each GPU's process reads whole",
            "confirm it in `dmesg`, and start it again: what is cached is kept; if it recurs, add memory or swap space "
            "(under WSL2, raise `memory` in .wslconfig), use weights in fp8 or bf16, fewer GPUs, or a lower "
            "map_num_proc or caching_batch_size",
            lines,
        )
    if name == "SIGKILL" and stage is TrainerStage.SAVING:
        return Cause.of(
            CauseCode.HOST_OUT_OF_MEMORY,
            "killed_saving",
            "the kernel or another program killed a process while a model or checkpoint was saved (SIGKILL); most "
            "likely the machine ran out of memory",
            "confirm it in `dmesg`; lower blocks_to_swap, run fewer tasks at once, or add memory or swap space (a "
            "whole model needs up to twice its size while it is saved; under WSL2, raise `memory` in .wslconfig), then "
            "resume",
            lines,
        )
    if name == "SIGKILL":
        return Cause.of(
            CauseCode.HOST_OUT_OF_MEMORY,
            "killed_for_memory",
            "the kernel or another program killed a process of the training (SIGKILL); most likely the machine ran out "
            "of memory",
            "confirm it in `dmesg`; lower blocks_to_swap, map_num_proc or caching_batch_size, run fewer "
            "tasks at once, or add memory (under WSL2, raise `memory` in .wslconfig)",
            lines,
        )
    if name == "SIGBUS" and _crashed_package(ending.last_lines) != "safetensors":
        return Cause.of(
            CauseCode.HOST_OUT_OF_MEMORY,
            "bus_error",
            "the trainer crashed with SIGBUS: most likely the shared memory (/dev/shm) was full, or a file that it "
            "read was cut off or its disk failed",
            "make /dev/shm larger (in a container: --shm-size or --ipc=host), or lower map_num_proc; if `df /dev/shm` "
            "shows free space, look for errors of the disk in `dmesg`, and download the weights again",
            lines,
        )
    if name in ("SIGXFSZ", "SIGXCPU"):
        return Cause.of(
            CauseCode.KILLED,
            "limit_reached",
            "the kernel ended the trainer with {signal}, as it reached a limit of its user",
            "raise the limit of the service: the size of files for SIGXFSZ (LimitFSIZE, `ulimit -f`), the CPU time for "
            "SIGXCPU (LimitCPU, `ulimit -t`); then resume",
            lines,
            signal=name,
        )
    if name == "SIGSYS":
        return Cause.of(
            CauseCode.TRAINER_ERROR,
            "call_forbidden",
            "the kernel ended the trainer with SIGSYS: a security profile forbids a system call that it needs",
            "start the container with another seccomp profile (--security-opt seccomp=unconfined), or relax "
            "SystemCallFilter of the service",
            lines,
        )
    if name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"):
        return Cause.of(
            CauseCode.KILLED,
            "killed_outside",
            "a program or person outside of this service ended the training with {signal}",
            "find the cause (a shutdown, an administrator, a limit), then resume from the last checkpoint",
            lines,
            signal=name,
        )
    if name == "SIGILL":
        return Cause.of(
            CauseCode.TRAINER_ERROR,
            "illegal_instruction",
            "the trainer crashed with SIGILL: a package uses an instruction that this CPU does not have",
            "reinstall torch and the packages with native code (deepspeed, bitsandbytes, pyarrow) on this machine, in "
            "builds for its CPU; a virtual machine needs the CPU type of its host, with AVX2",
            lines,
        )
    return _crash(ending, name)


def _crash(ending: Ending, name: str) -> Cause:
    """Return the cause of a crash in native code, by the package that Python's fault handler shows, or by the stage."""
    lines = last_lines(ending)
    package = _crashed_package(ending.last_lines)
    if package is None:
        stage, remedy = _crash_stage(last_stage(ending.last_lines))
        return Cause.of(
            CauseCode.TRAINER_ERROR,
            "crashed",
            "the trainer crashed with {signal} {stage}, in the native code of a package",
            "{first}; if it recurs, set PYTHONFAULTHANDLER=1 in `env` and start it again: the log then shows the "
            "package that crashes",
            lines,
            signal=name,
            stage=stage,
            first=remedy,
        )
    remedy = Reason.of(
        "reinstall it in the trainer's environment, in a build for its version of torch and CUDA; if it recurs, update "
        "the NVIDIA driver, and test the machine's memory",
        "crash_reinstall",
    )
    if package in _MEDIA_PACKAGES:
        remedy = Reason.of(
            "most often a media file is damaged: validate the request again, which names such files, and convert or "
            "remove them; then reinstall it in the trainer's environment",
            "crash_media",
        )
    elif package == "safetensors":
        remedy = Reason.of(
            "most often a file of weights is cut off, or lies on a disk that fails: compare the sizes of the files in "
            "[model] with their download page, and copy them to a local disk",
            "crash_weights",
        )
    return Cause.of(
        CauseCode.TRAINER_ERROR,
        "crashed_in_package",
        "the trainer crashed with {signal} in the package `{package}`",
        "{first}",
        lines,
        signal=name,
        package=package,
        first=remedy,
    )


def _crashed_package(lines: Sequence[str]) -> str | None:
    """Return the package with native code in which the current thread was, according to Python's fault handler."""
    dump = list(dropwhile(lambda line: not _FAULT.match(line), lines))
    thread = list(dropwhile(lambda line: not line.startswith("Current thread "), dump))[1:]
    frames = list(takewhile(lambda line: line.startswith("  File "), thread))[:_INNER_FRAMES]
    packages = [found[1] for line in frames if (found := _NATIVE_PACKAGE.search(line)) is not None]
    # Packages call torch, and torch calls them.
    return next((each for each in packages if each != "torch"), packages[0] if packages else None)


def _crash_stage(stage: TrainerStage | None) -> tuple[Reason, Reason]:
    """Return when the trainer crashed, and what to do first."""
    if stage in (TrainerStage.TRAINING, TrainerStage.SAVING):
        return Reason.of("while it trained", "crash_training"), Reason.of(
            "set compile = false, delete compiled code (~/.triton, ~/.cache/torch_extensions), reinstall "
            "flash-attn, xformers and bitsandbytes in builds for the trainer's torch, and update the driver",
            "crash_training_first",
        )
    if stage is TrainerStage.CACHING:
        return Reason.of("while it cached the dataset", "crash_caching"), Reason.of(
            "validate the request again, which names damaged media files, set map_num_proc = 1, and reinstall "
            "flash-attn, xformers, av and pillow in builds for the trainer's torch and Python",
            "crash_caching_first",
        )
    if stage in (TrainerStage.LOADING, TrainerStage.LOADED):
        return Reason.of("while it loaded the model", "crash_loading"), Reason.of(
            "compare the sizes of the files in [model] with their download page, as one may be cut off, and "
            "reinstall flash-attn, xformers, bitsandbytes and deepspeed in builds for the trainer's torch and CUDA",
            "crash_loading_first",
        )
    return Reason.of("while it started", "crash_starting"), Reason.of(
        "install torch, torchvision and torchaudio in one command, for one CUDA, and reinstall flash-attn, xformers, "
        "bitsandbytes and deepspeed in builds for them; check that `nvidia-smi` works",
        "crash_starting_first",
    )


def exited_with_zero(ending: Ending, stopped_phrase: str) -> Cause:
    """Return the cause of an ending with exit code 0 without the end of the training."""
    lines = last_lines(ending)
    if stopped_phrase in ending.phrases:
        return Cause.of(
            CauseCode.QUIT_UNASKED,
            "quit_unasked",
            "the trainer found a file save_quit that this service did not write, saved a checkpoint and quit",
            "find what wrote the file, then resume the task",
            lines,
        )
    if any("have set a lot of resolutions" in line for line in ending.last_lines):
        return Cause.of(
            CauseCode.DID_NOT_TRAIN,
            "too_many_resolutions",
            "the trainer rejects more than 3 resolutions and ended without training",
            "set at most 3 resolutions: every image is trained at each of them",
            lines,
        )
    if any("Cosmos supports a limited set of resolutions" in line for line in ending.last_lines):
        return Cause.of(
            CauseCode.DID_NOT_TRAIN,
            "cosmos_quit",
            "the trainer accepts only certain sizes for Cosmos and ended without training",
            "remove resolutions and aspect ratios from the dataset, and set size_buckets at its top level and in every "
            "[[directory]], with sizes of the trainer's examples/cosmos_dataset.toml only",
            lines,
        )
    return Cause.of(
        CauseCode.DID_NOT_TRAIN,
        "did_not_train",
        "the trainer ended with exit code 0 but did not report that training was complete",
        "read the end of the log to see what it did, then resume or restart the task",
        lines,
    )


def printed_nothing(ending: Ending) -> Cause:
    """Return the cause of an ending about which no line of the log says anything."""
    if ending.exit_code in (126, 127):
        return Cause.of(
            CauseCode.TRAINER_ERROR,
            "not_started",
            "a program was not found, or cannot be executed (exit code {code})",
            "set DIFFUSION_PIPE_PYTHON to the Python of the trainer's environment, create that environment again if it "
            "was moved, and check that the trainer's user may execute it, also by its disk (mounted without noexec)",
            last_lines(ending),
            code=ending.exit_code,
        )
    how = Reason.of("without an exit code", "without_exit_code")
    if ending.exit_code is not None:
        how = Reason.of("with exit code {code}", "with_exit_code", code=ending.exit_code)
    return Cause.of(
        CauseCode.TRAINER_ERROR,
        "said_nothing",
        "the trainer ended {how} and printed no error",
        "read the end of the task's log and the kernel's log (`dmesg`)",
        last_lines(ending),
        how=how,
    )


def nan_losses(ending: Ending) -> Cause:
    """Return the cause of a failure after many NaN losses."""
    return Cause.of(
        CauseCode.NAN_LOSS,
        "nan_loss",
        "the last {losses} losses were NaN",
        "resume from an earlier checkpoint with a lower learning rate, or use dtype bfloat16 and check the dataset",
        last_lines(ending),
        losses=ending.nan_in_a_row,
    )


def last_lines(ending: Ending) -> tuple[str, ...]:
    """Return the last lines of the log, for endings without a traceback."""
    lines = [line[:LINE_LIMIT] for line in ending.last_lines if line.strip()]
    return tuple(lines[-_LAST_LINES:])
