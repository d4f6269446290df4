"""Why an attempt failed: from its last lines, its exit code and its signal to a cause with a remedy."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from api.domain.cause import Cause, CauseCode
from api.domain.reason import Reason
from api.trainers.protocol.error_lines import LINE_LIMIT, ErrorLine, find_errors
from api.trainers.protocol.hints import hint_for
from api.trainers.trainer import Ending

#: So many losses in a row that were NaN explain an end that nothing else explains.
NAN_IN_A_ROW = 10

#: Lines shown where no traceback says more.
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


#: Rules that name the cause of an error's line; the first that matches holds.
_RULES = (
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        r"CUDA out of memory|\bOutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
        r"|Cuda failure (?:\d+ )?'out of memory'|HIP out of memory",
        "the memory of a GPU was not enough",
        "lower micro_batch_size_per_gpu or the resolutions, set activation_checkpointing = true, raise blocks_to_swap, "
        "or ask for more GPUs with pipeline_stages; under WSL2, where blocks_to_swap needs pinned memory, lower it",
        "cuda_memory",
    ),
    _Rule.of(
        CauseCode.HOST_OUT_OF_MEMORY,
        r"out of shared memory|Bus error|(?:shared memory|/dev/shm|/torch_\d).*No space left",
        "the machine's shared memory (/dev/shm) was not enough",
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
        "the machine's memory was not enough",
        "lower blocks_to_swap, map_num_proc or caching_batch_size, run fewer tasks at once, or add memory",
        "host_memory",
    ),
    _Rule.of(
        CauseCode.PORT_IN_USE,
        r"EADDRINUSE|[Aa]ddress already in use|errno: 98\b|\[Errno 98\]",
        "the port of its ranks was in use",
        "start it again: it gets another port",
        "port_in_use",
    ),
    _Rule.of(
        CauseCode.GPU_LOST,
        r"fallen off the bus|[Uu]ncorrectable (?:ECC|NVLink) error|GPU is lost|hardware stack error"
        r"|No CUDA GPUs are available|no CUDA-capable device is detected",
        "a GPU failed or was not there any more",
        "look at the GPU's health and Xid errors; reset or replace it, then resume",
        "gpu_lost",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"GatedRepoError|[Gg]ated repo|\b40[13] Client Error"
        r"|Access to model .{1,200} is restricted|Invalid credentials",
        "the hub did not give a model out",
        "accept its licence on its page, and give a token as HF_TOKEN in `env`; or download it and name its directory",
        "hub_refused",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"(?:MaxRetryError|NameResolutionError|Max retries exceeded|couldn't connect to|Cannot reach).{0,300}hugging"
        r"|LocalEntryNotFoundError.{0,300}[Cc]onnection|OfflineModeIsEnabled",
        "a model could not be downloaded",
        "download it where there is a network, and name its directory or file in the request",
        "hub_unreachable",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"^FileNotFoundError|No such file or directory|does not appear to have a file named|HFValidationError"
        r"|(?:LocalEntryNotFound|EntryNotFound|RepositoryNotFound|NotADirectory)Error|is not a valid model identifier"
        r"|[Ee]rror no file named|[Uu]nable to find .*\.safetensors",
        "a file or model was not found",
        "correct the path in the request, or put the file there; it must be readable by this service's user",
        "missing_file",
    ),
)

_NCCL_TIMEOUT = _Rule.of(
    CauseCode.NCCL_TIMEOUT,
    r"Watchdog caught collective operation timeout|NCCL operations have failed or timed out|wait timeout after \d+ ?ms"
    r"|Timed out after \d+ seconds waiting for clients",
    "the ranks waited for one another until the time was up",
    "resume it; if it returns, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1, or a larger DEEPSPEED_TIMEOUT (minutes)",
    "nccl_timeout",
)

#: What the other ranks print when one has failed: it counts as the cause only when there is nothing else.
_AFTERMATH = re.compile(
    r"NCCL|ProcessGroup|DistBackendError|DistNetworkError|DistStoreError|TCPStore|Connection (?:reset|refused|closed)"
    r"|^(?:EOFError|BrokenPipeError|ConnectionResetError|ConnectionRefusedError|SystemExit|KeyboardInterrupt)"
    r"|^(?:torch\.distributed\.|subprocess\.CalledProcessError)|pymp-|terminate called|exits with return code"
)

_RETURN_CODE = re.compile(r"exits with return code = (-?\d{1,4})")
_RECEIVED = re.compile(r"Main process received (SIG[A-Z]{2,6})")


def diagnose(ending: Ending, stopped_phrase: str) -> Cause:
    """The cause of an ending that was no success. The first error in time is the cause; the rest follows from it."""
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
    return not _AFTERMATH.search(error.text)


def _classify(error: ErrorLine) -> Cause | None:
    for rule in _RULES:
        if rule.pattern.search(error.text):
            return _cause(rule, error)
    return None


def _cause(rule: _Rule, error: ErrorLine) -> Cause:
    lines = error.traceback or (error.text,)
    return Cause.of(rule.code, rule.said, rule.detail + ": {line}", rule.remedy, lines, line=error.text)


def _last_of_its_rank(raised: Sequence[ErrorLine]) -> ErrorLine:
    """The exception that ended the first rank to fail, the last of those that led to one another."""
    first = raised[0].rank
    return [error for error in raised if error.rank == first][-1]


def _trainer_error(error: ErrorLine) -> Cause:
    hint, lines = hint_for(error.text), tuple(error.traceback or (error.text,))
    return Cause(CauseCode.TRAINER_ERROR, error.text, hint.text, lines, remedy_code=hint.said)


def _without_root(ending: Ending, errors: Sequence[ErrorLine], stopped_phrase: str) -> Cause:
    """The cause where no error was printed: by what the ranks said about one another, else by how the process ended."""
    for error in errors:
        if _NCCL_TIMEOUT.pattern.search(error.text):
            return _cause(_NCCL_TIMEOUT, error)
        told = _signal_told(error)
        if told is not None:
            return _killed(ending, told)
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
        "it ended {how} and said nothing about why",
        "look at the end of the log, and at the kernel's log (`dmesg`)",
        _last_lines(ending),
        how=how,
    )


def _signal_told(error: ErrorLine) -> int | None:
    """The number of the signal that, by a launcher's words, ended one of its ranks or itself; None without one."""
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
    # A launcher's exit(-n); but 255 is what programs end with by themselves: exit(-1).
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
            "it was asked to stop and ended with {signal}",
            "resume it from its last checkpoint",
            lines,
            signal=name,
        )
    if name == "SIGKILL":
        return Cause.of(
            CauseCode.HOST_OUT_OF_MEMORY,
            "killed_for_memory",
            "a process of it was killed (SIGKILL) and nobody here asked for that: most likely the machine ran out of "
            "memory and the kernel chose it",
            "see `dmesg` for the killer's words; lower blocks_to_swap, map_num_proc or caching_batch_size, run fewer "
            "tasks at once, or add memory",
            lines,
        )
    if name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"):
        return Cause.of(
            CauseCode.KILLED,
            "killed_outside",
            "somebody outside of this service ended it with {signal}",
            "find out who did (a shutdown, an administrator, a limit), then resume it from its last checkpoint",
            lines,
            signal=name,
        )
    return Cause.of(
        CauseCode.TRAINER_ERROR,
        "crashed",
        "it crashed with {signal}",
        "look at the end of the log; a crash in native code often means that driver, CUDA and the trainer's packages "
        "do not fit together",
        lines,
        signal=name,
    )


def _exit_zero(ending: Ending, stopped_phrase: str) -> Cause:
    lines = _last_lines(ending)
    if stopped_phrase in ending.phrases:
        return Cause.of(
            CauseCode.QUIT_UNASKED,
            "quit_unasked",
            "it found a file save_quit that this service did not write, saved a checkpoint and quit",
            "find out who wrote the file, then resume it",
            lines,
        )
    if any("have set a lot of resolutions" in line for line in ending.last_lines):
        return Cause.of(
            CauseCode.DID_NOT_TRAIN,
            "too_many_resolutions",
            "it refuses more than 3 resolutions and ended without training",
            "give at most 3 resolutions: every image is trained at each of them",
            lines,
        )
    return Cause.of(
        CauseCode.DID_NOT_TRAIN,
        "did_not_train",
        "it ended with exit code 0 but never said that its training was complete",
        "look at the end of the log for what it did instead; then resume or restart it",
        lines,
    )


def _nan(ending: Ending) -> Cause:
    return Cause.of(
        CauseCode.NAN_LOSS,
        "nan_loss",
        "its last {losses} losses were not numbers (NaN)",
        "resume from a checkpoint before them with a lower learning rate, or use dtype bfloat16 and check the dataset",
        _last_lines(ending),
        losses=ending.nan_in_a_row,
    )


def _last_lines(ending: Ending) -> tuple[str, ...]:
    lines = [line[:LINE_LIMIT] for line in ending.last_lines if line.strip()]
    return tuple(lines[-LAST_LINES:])
