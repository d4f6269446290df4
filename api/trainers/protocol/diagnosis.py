"""Derives the cause of a failed attempt, with a remedy, from its last lines, exit code and signal."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from api.domain.cause import Cause, CauseCode
from api.domain.reason import Reason
from api.trainers.protocol.error_lines import LINE_LIMIT, ErrorLine, find_errors
from api.trainers.protocol.hints import hint_for
from api.trainers.trainer import Ending

#: Consecutive NaN losses that count as the cause if nothing else explains the failure.
NAN_IN_A_ROW = 10

#: Lines shown when there is no traceback.
LAST_LINES = 10


@dataclass(frozen=True, slots=True)
class _Rule:
    code: CauseCode
    pattern: re.Pattern[str]
    detail: str
    remedy: str
    said: str

    @classmethod
    def of(cls, code: CauseCode, pattern: str, detail: str, remedy: str, said: str) -> "_Rule":
        return cls(code, re.compile(pattern), detail, remedy, said)


#: Rules for the cause of an error line; the first match applies.
_RULES = (
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        r"CUDA out of memory|\bOutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
        r"|Cuda failure (?:\d+ )?'out of memory'|HIP out of memory",
        "a GPU ran out of memory",
        "lower micro_batch_size_per_gpu or the resolutions, set activation_checkpointing = true, raise blocks_to_swap, "
        "or request more GPUs and set pipeline_stages; under WSL2, where blocks_to_swap needs pinned memory, lower it",
        "cuda_memory",
    ),
    _Rule.of(
        CauseCode.HOST_OUT_OF_MEMORY,
        r"out of shared memory|Bus error|(?:shared memory|/dev/shm|/torch_\d).*No space left",
        "the machine ran out of shared memory (/dev/shm)",
        "make /dev/shm larger (in a container: --shm-size or --ipc=host), or lower map_num_proc",
        "shared_memory",
    ),
    _Rule.of(
        CauseCode.DISK_FULL,
        r"No space left on device|\[Errno 28\]|ENOSPC|PytorchStreamWriter failed writing file|\[Errno 122\]"
        r"|[Dd]isk quota exceeded|basic_ios::clear: iostream error|inline_container\.cc:\d+\] ?\. unexpected pos",
        "the disk was full",
        "free disk space (old checkpoints, caches), set keep_last_checkpoints, then resume",
        "disk_full",
    ),
    _Rule.of(
        CauseCode.HOST_OUT_OF_MEMORY,
        r"^MemoryError|DefaultCPUAllocator: |[Cc]annot allocate memory|std::bad_alloc|killed by signal: Killed",
        "the machine ran out of memory",
        "lower blocks_to_swap, map_num_proc or caching_batch_size, run fewer tasks at once, or add memory",
        "host_memory",
    ),
    _Rule.of(
        CauseCode.PORT_IN_USE,
        r"EADDRINUSE|[Aa]ddress already in use|errno: 98\b|\[Errno 98\]",
        "the port for communication between ranks was in use",
        "retry the task: it gets another port",
        "port_in_use",
    ),
    _Rule.of(
        CauseCode.GPU_LOST,
        r"fallen off the bus|[Uu]ncorrectable (?:ECC|NVLink) error|GPU is lost|hardware stack error"
        r"|No CUDA GPUs are available|no CUDA-capable device is detected",
        "a GPU failed or disappeared",
        "check the GPU's health and Xid errors; reset or replace it, then resume",
        "gpu_lost",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"GatedRepoError|[Gg]ated repo|\b40[13] Client Error"
        r"|Access to model .{1,200} is restricted|Invalid credentials",
        "the model hub denied access to a model",
        "accept the model's licence on its page and set HF_TOKEN in `env`, or download it and give its directory",
        "hub_refused",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"(?:MaxRetryError|NameResolutionError|Max retries exceeded|couldn't connect to|Cannot reach).{0,300}hugging"
        r"|LocalEntryNotFoundError.{0,300}[Cc]onnection|OfflineModeIsEnabled",
        "a model could not be downloaded",
        "download it on a machine with network access, and give its directory or file in the request",
        "hub_unreachable",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"^FileNotFoundError|No such file or directory|does not appear to have a file named|HFValidationError"
        r"|(?:LocalEntryNotFound|EntryNotFound|RepositoryNotFound|NotADirectory)Error|is not a valid model identifier"
        r"|[Ee]rror no file named|[Uu]nable to find .*\.safetensors",
        "a file or model was not found",
        "correct the path in the request, or create the file; the trainer's user must be able to read it",
        "missing_file",
    ),
)

_NCCL_TIMEOUT = _Rule.of(
    CauseCode.NCCL_TIMEOUT,
    r"Watchdog caught collective operation timeout|NCCL operations have failed or timed out|wait timeout after \d+ ?ms"
    r"|Timed out after \d+ seconds waiting for clients",
    "the ranks timed out while waiting for one another",
    "resume it; if it recurs, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1, or raise DEEPSPEED_TIMEOUT (minutes)",
    "nccl_timeout",
)

#: Lines that ranks print after another rank failed; they are the cause only if there is no other error.
_SECONDARY = re.compile(
    r"NCCL|ProcessGroup|DistBackendError|DistNetworkError|DistStoreError|TCPStore|Connection (?:reset|refused|closed)"
    r"|^(?:EOFError|BrokenPipeError|ConnectionResetError|ConnectionRefusedError|SystemExit|KeyboardInterrupt)"
    r"|^(?:torch\.distributed\.|subprocess\.CalledProcessError)|pymp-|terminate called|exits with return code"
)

_RETURN_CODE = re.compile(r"exits with return code = (-?\d{1,4})")
_RECEIVED = re.compile(r"Main process received (SIG[A-Z]{2,6})")


def diagnose(ending: Ending, stopped_phrase: str) -> Cause:
    """Return the cause of a failure: the first error in time, as later errors follow from it."""
    errors = find_errors(ending.last_lines)
    roots = [error for error in errors if _is_root(error)]
    for error in roots:
        cause = _classify(error)
        if cause is not None:
            return cause
    raised = [error for error in roots if error.exception is not None]
    if ending.nan_in_a_row >= NAN_IN_A_ROW:
        return _nan(ending)
    if raised:
        return _trainer_error(_last_of_its_rank(raised))
    return _without_root(ending, errors, stopped_phrase)


def _is_root(error: ErrorLine) -> bool:
    if any(rule.pattern.search(error.text) for rule in _RULES):
        return True
    return not _SECONDARY.search(error.text)


def _classify(error: ErrorLine) -> Cause | None:
    for rule in _RULES:
        if rule.pattern.search(error.text):
            return _cause(rule, error)
    return None


def _cause(rule: _Rule, error: ErrorLine) -> Cause:
    lines = error.traceback or (error.text,)
    return Cause.of(rule.code, rule.said, rule.detail + ": {line}", rule.remedy, lines, line=error.text)


def _last_of_its_rank(raised: Sequence[ErrorLine]) -> ErrorLine:
    """Return the last exception of the first rank that failed; earlier ones of that rank led to it."""
    first = raised[0].rank
    return [error for error in raised if error.rank == first][-1]


def _trainer_error(error: ErrorLine) -> Cause:
    hint, lines = hint_for(error.text), tuple(error.traceback or (error.text,))
    return Cause(CauseCode.TRAINER_ERROR, error.text, hint.text, lines, remedy_code=hint.said)


def _without_root(ending: Ending, errors: Sequence[ErrorLine], stopped_phrase: str) -> Cause:
    """Return the cause when no original error was printed: from secondary errors, the signal or the exit code."""
    for error in errors:
        if _NCCL_TIMEOUT.pattern.search(error.text):
            return _cause(_NCCL_TIMEOUT, error)
        reported = _reported_signal(error)
        if reported is not None:
            return _killed(ending, reported)
    number = _signal_number(ending)
    if number is not None:
        return _killed(ending, number)
    if ending.exit_code == 0:
        return _exit_zero(ending, stopped_phrase)
    if errors:
        raised = [error for error in errors if error.exception is not None]
        return _trainer_error(_last_of_its_rank(raised or errors))
    how = Reason.of("without an exit code", "without_exit_code")
    if ending.exit_code is not None:
        how = Reason.of("with exit code {code}", "with_exit_code", code=ending.exit_code)
    return Cause.of(
        CauseCode.TRAINER_ERROR,
        "said_nothing",
        "the trainer ended {how} and printed no error",
        "read the end of the task's log and the kernel's log (`dmesg`)",
        _last_lines(ending),
        how=how,
    )


def _reported_signal(error: ErrorLine) -> int | None:
    """Return the number of the signal that ended a rank or the launcher, according to the launcher, or None."""
    received = _RECEIVED.search(error.text)
    if received is not None and received[1] in signal.Signals.__members__:
        return signal.Signals[received[1]].value
    code = _RETURN_CODE.search(error.text)
    if code is not None and -64 <= int(code[1]) < 0:
        return -int(code[1])
    return signal.SIGINT.value if error.exception == "KeyboardInterrupt" else None


def _signal_number(ending: Ending) -> int | None:
    if ending.signal is not None:
        return ending.signal
    code = ending.exit_code or 0
    # The launcher exits with -n for signal n. 255 is excluded, as programs use exit(-1) themselves.
    if 192 <= code < 255:
        return 256 - code
    return code - 128 if 128 < code < 192 else None


def _killed(ending: Ending, number: int) -> Cause:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    lines = _last_lines(ending)
    if ending.stop_requested and name in ("SIGTERM", "SIGKILL", "SIGINT"):
        return Cause.of(
            CauseCode.KILLED,
            "killed_on_stop",
            "the trainer was stopped and ended with {signal}",
            "resume it from its last checkpoint",
            lines,
            signal=name,
        )
    if name == "SIGKILL":
        return Cause.of(
            CauseCode.HOST_OUT_OF_MEMORY,
            "killed_for_memory",
            "the kernel or another program killed a process of the training (SIGKILL); most likely the machine ran out "
            "of memory",
            "confirm it in `dmesg`; lower blocks_to_swap, map_num_proc or caching_batch_size, run fewer "
            "tasks at once, or add memory",
            lines,
        )
    if name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"):
        return Cause.of(
            CauseCode.KILLED,
            "killed_outside",
            "a program or person outside of this service ended the training with {signal}",
            "find the cause (a shutdown, an administrator, a limit), then resume from the last checkpoint",
            lines,
            signal=name,
        )
    return Cause.of(
        CauseCode.TRAINER_ERROR,
        "crashed",
        "the trainer crashed with {signal}",
        "read the end of the log; a crash in native code often means that the versions of the driver, CUDA and the "
        "trainer's packages are incompatible",
        lines,
        signal=name,
    )


def _exit_zero(ending: Ending, stopped_phrase: str) -> Cause:
    lines = _last_lines(ending)
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
    return Cause.of(
        CauseCode.DID_NOT_TRAIN,
        "did_not_train",
        "the trainer ended with exit code 0 but did not report that training was complete",
        "read the end of the log to see what it did, then resume or restart the task",
        lines,
    )


def _nan(ending: Ending) -> Cause:
    return Cause.of(
        CauseCode.NAN_LOSS,
        "nan_loss",
        "the last {losses} losses were NaN",
        "resume from an earlier checkpoint with a lower learning rate, or use dtype bfloat16 and check the dataset",
        _last_lines(ending),
        losses=ending.nan_in_a_row,
    )


def _last_lines(ending: Ending) -> tuple[str, ...]:
    lines = [line[:LINE_LIMIT] for line in ending.last_lines if line.strip()]
    return tuple(lines[-LAST_LINES:])
