"""Derive the cause of a failed attempt, with a remedy, from its last lines, exit code and signal."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import dropwhile, takewhile

from api.domain.cause import Cause, CauseCode
from api.domain.reason import Reason
from api.trainers.protocol.error_lines import LINE_LIMIT, RANK, TRACEBACK_LIMIT, WHAT, ErrorLine, find_errors, is_empty
from api.trainers.protocol.hints import BY_PLACE, CACHE_FILE, READ_TRACEBACK, hint_for
from api.trainers.protocol.phrases import (
    CACHING,
    CACHING_LOGGED,
    NEW_EPOCH,
    SAVING_CHECKPOINT,
    SAVING_MODEL,
    STEP_BEGINNING,
)
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
    within: re.Pattern[str] | None = None  #: must also match a line of the traceback

    @classmethod
    def of(
        cls, code: CauseCode, pattern: str, detail: str, remedy: str, said: str, within: str | None = None
    ) -> "_Rule":
        return cls(code, re.compile(pattern), detail, remedy, said, None if within is None else re.compile(within))

    def matches(self, error: ErrorLine) -> bool:
        """Return whether the rule explains this error."""
        if not self.pattern.search(error.text):
            return False
        return self.within is None or any(self.within.search(line) for line in error.frames)


#: Messages about exhausted GPU memory.
_CUDA_MEMORY = (
    r"CUDA out of memory|\bOutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|Cuda failure (?:\d+ )?'out of memory'|HIP out of memory|Triton Error \[CUDA\]: out of memory"
)

#: Frames that create semaphores and shared memory, which the system stores in /dev/shm.
_SHARED = r"/multiprocess(?:ing)?/(?:synchronize|shared_memory|heap)\.py"

#: Messages about exhausted memory of the machine.
_HOST_MEMORY = (
    r"^(?:[\w.]{1,80}\.)?(?:_Array)?MemoryError|DefaultCPUAllocator: |std::bad_alloc"
    r"|[Cc]annot allocate memory(?! in static TLS)|killed by signal: Killed"
)

#: Frames that save a model or a checkpoint.
_SAVING = r"in (?:save_(?:adapter|full_model|model|checkpoint)|process_(?:step|epoch))$"

#: Errors of a missing file that the trainer does not create itself.
_FILE_MISSING = rf"^FileNotFoundError(?!.*(?:No usable temporary|states\.pt'|{CACHE_FILE}|is neither a `Dataset`))"

#: The beginning of a path of Windows; in addresses, letters precede the colon's one.
_WINDOWS_PATH = r"(?<![A-Za-z])[A-Za-z]:[\\/](?!/)"

#: Rules for the cause of an error line; the first match applies.
_RULES = (
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        # PyTorch lists the processes that it does not know as its own. In a container it can list itself so.
        r"CUDA out of memory.*\bProcess \d+ has [\d.]+ GiB memory in use",
        "a GPU ran out of memory, and another process held a part of it",
        "end the other program (`nvidia-smi` lists it; ComfyUI, Ollama and notebooks keep models loaded), then resume; "
        "if there is none, lower micro_batch_size_per_gpu or the resolutions",
        "shared_gpu_memory",
    ),
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        _CUDA_MEMORY,
        "a GPU had no free memory when the trainer started",
        "end the programs that hold it (`nvidia-smi` lists them; ComfyUI, Ollama and notebooks keep models loaded), "
        "then resume",
        "gpu_full",
        within=r"in (?:set_device|init_distributed)$",
    ),
    _Rule.of(
        # Without "Tried to allocate", the driver failed, not PyTorch's allocator of GPU memory. Copies from a GPU to
        # the machine's memory fail so.
        CauseCode.HOST_OUT_OF_MEMORY,
        r"CUDA error: out of memory",
        "the machine had no more pinned memory for blocks or activations that are moved out of the GPU",
        "lower blocks_to_swap, or set activation_checkpointing = true instead of 'unsloth'; or add memory (under WSL2, "
        "which limits pinned memory, raise `memory` in .wslconfig); the GPU's memory is not full",
        "pinned_memory",
        within=r"offloading\.py|unsloth_utils\.py|\bpin_memory\b|cudaHostAlloc|in weights_to_device$",
    ),
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        _CUDA_MEMORY,
        "a GPU ran out of memory while the dataset was cached",
        "lower caching_batch_size, the resolutions or frame_buckets; if a text encoder does not fit, load it in fewer "
        "bits where the model type can (text_encoder_fp8, llama3_4bit), or use a GPU with more memory",
        "caching_gpu_memory",
        within=r"in _handle_task$",
    ),
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        _CUDA_MEMORY,
        "a GPU ran out of memory in an evaluation",
        "remove disable_block_swap_for_eval, if it is set; lower eval_micro_batch_size_per_gpu, and the resolutions or "
        "frame_buckets of the evaluation's dataset; or train without eval_datasets",
        "evaluation_gpu_memory",
        within=r"in (?:_?evaluate(?:_single)?|eval_batch|prepare_block_swap_inference)$",
    ),
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        _CUDA_MEMORY,
        "the weights do not fit into a GPU's memory",
        "to train an adapter, set transformer_dtype or diffusion_model_dtype = 'float8', or blocks_to_swap; or request "
        "more GPUs and set pipeline_stages; a smaller batch does not help",
        "loading_gpu_memory",
        within=r"in load_diffusion_model$|PipelineModule\(|in convert$",
    ),
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        _CUDA_MEMORY,
        "the state of the optimizer does not fit into a GPU's memory",
        "use an 8-bit optimizer (adamw8bitkahan), train an adapter (or one of lower rank), or request more GPUs and "
        "set pipeline_stages; if a resumed training failed, end other programs on its GPUs",
        "optimizer_gpu_memory",
        within=r"in (?:_take_model_step|_init_state|_exec_optimizer_step|load_checkpoint)$",
    ),
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        _CUDA_MEMORY,
        "a GPU ran out of memory while a model was saved",
        "saving needs very little of it, so that it was full before: end other programs on the GPU, raise "
        "blocks_to_swap, or lower micro_batch_size_per_gpu or the resolutions a little, then resume",
        "saving_gpu_memory",
        within=_SAVING,
    ),
    _Rule.of(
        CauseCode.CUDA_OUT_OF_MEMORY,
        _CUDA_MEMORY,
        "a GPU ran out of memory",
        "lower micro_batch_size_per_gpu or the resolutions, set activation_checkpointing = true, raise blocks_to_swap, "
        "or request more GPUs and set pipeline_stages; under WSL2, where blocks_to_swap needs pinned memory, lower it",
        "cuda_memory",
    ),
    _Rule.of(
        CauseCode.HOST_OUT_OF_MEMORY,
        r"(?:out of|insufficient) shared memory|Bus error|shared memory object(?!.*Too many)"
        r"|torch_shm_manager(?!.*random directory)|(?:shared memory|/dev/shm|/torch_\d|fallocate).*No space left",
        "the machine ran out of shared memory (/dev/shm)",
        "make /dev/shm larger (in a container: --shm-size or --ipc=host), or lower map_num_proc",
        "shared_memory",
    ),
    _Rule.of(
        CauseCode.HOST_OUT_OF_MEMORY,
        r"\[Errno 28\]",
        "the machine ran out of shared memory (/dev/shm)",
        "make /dev/shm larger (in a container: --shm-size or --ipc=host), or lower map_num_proc",
        "shared_memory",
        within=_SHARED,
    ),
    _Rule.of(
        CauseCode.TRAINER_ERROR,
        r"\[Errno (?:13|30|38)\]",
        "the trainer cannot use the shared memory (/dev/shm)",
        "mount it as tmpfs for all users (`mount -o remount,rw,mode=1777 /dev/shm`; in a container: --ipc=host or "
        "--shm-size)",
        "shared_memory_closed",
        within=_SHARED,
    ),
    _Rule.of(
        CauseCode.DISK_FULL,
        r"\[Errno 122\]|[Qq]uota exceeded",
        "the disk quota of the trainer's user was used up",
        "free space within the quota (`quota -s`; old checkpoints, caches), raise it, or use a directory on another "
        "disk, then resume",
        "disk_quota",
    ),
    _Rule.of(
        CauseCode.DISK_FULL,
        r"No space left on device|\[Errno 28\]|ENOSPC|disk is full|PytorchStreamWriter failed writing file"
        r"|Not enough disk space|basic_ios::clear: iostream error|inline_container\.cc:\d+\] ?\. unexpected pos",
        "the disk was full",
        "free disk space (old checkpoints, caches), set keep_last_checkpoints, then resume",
        "disk_full",
    ),
    _Rule.of(
        CauseCode.HOST_OUT_OF_MEMORY,
        _HOST_MEMORY,
        "the machine ran out of memory while a model was saved",
        "lower blocks_to_swap, run fewer tasks at once, or add memory or swap space (a whole model needs up to twice "
        "its size while it is saved), then resume; a smaller batch does not help",
        "host_memory_saving",
        within=_SAVING,
    ),
    _Rule.of(
        CauseCode.HOST_OUT_OF_MEMORY,
        _HOST_MEMORY,
        "the machine ran out of memory while weights were loaded",
        "add memory or swap space (under WSL2, raise `memory` in .wslconfig), use weights in fp8 or bf16, or fewer "
        "GPUs, as each GPU's process reads the weights whole",
        "host_memory_loading",
        within=r"in (?:load_diffusion_model|load_fn|load_safetensors|iterate_safetensors)$",
    ),
    _Rule.of(
        CauseCode.HOST_OUT_OF_MEMORY,
        _HOST_MEMORY,
        "the machine ran out of memory",
        "lower blocks_to_swap, map_num_proc, caching_batch_size or a very high num_repeats, run fewer tasks at once, "
        "or add memory",
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
        r"|over nvlink or a hardware error",
        "a GPU failed or disappeared",
        "check the GPU's health and Xid errors; reset or replace it, then resume",
        "gpu_lost",
    ),
    _Rule.of(
        CauseCode.GPU_LOST,
        r"No CUDA GPUs are available|no GPU resources available|no CUDA-capable device is detected",
        "the process sees no GPU",
        "run `nvidia-smi` as the trainer's user: if it lists the GPUs, check CUDA_VISIBLE_DEVICES of the "
        "service; if not, "
        "start the container with --gpus all, or check the driver and the Xid errors; then resume",
        "no_gpu_seen",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"(?:: |['\"])configs/",
        "a file of the trainer was not found",
        "run `git checkout -- configs` in the trainer's directory (DIFFUSION_PIPE_ROOT), which restores its files",
        "trainer_file",
    ),
    _Rule.of(
        CauseCode.TRAINER_ERROR,
        rf"{_FILE_MISSING}|Parent directory .{{1,400}} does not exist",
        "a file or directory of the run was removed while it trained",
        "look for what removed it (another program, a lost mount), then resume",
        "output_gone",
        within=_SAVING,
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        _FILE_MISSING,
        "a file of the dataset was removed while it was cached",
        "restore it, or start the training again with regenerate_cache = true",
        "item_gone",
        within=r'/utils/dataset\.py", line \d+, in (?:fn|_cache_fn|latents_map_fn)$',
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        rf"(?:No such file|not a valid model identifier|Repo id must|Incorrect path|[Ii]nvalid \w{{0,20}}path)"
        rf".{{0,200}}{_WINDOWS_PATH}|{_WINDOWS_PATH}.{{0,200}}(?:does not exist|is not a local folder|not a valid)",
        "a path of Windows is set, which Linux does not know",
        "write it as Linux sees it (under WSL2, C:\\data is /mnt/c/data), or copy the files to a disk of Linux, which "
        "is faster, and set their path there",
        "windows_path",
    ),
    _Rule.of(
        CauseCode.NETWORK,
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "the certificate of a server was not accepted",
        "if a proxy examines the traffic, set SSL_CERT_FILE and REQUESTS_CA_BUNDLE of the service to a file with its "
        "certificate; else run `pip install --upgrade certifi` with the trainer's Python and check the machine's "
        "clock; or download the model elsewhere and give its directory",
        "certificate",
    ),
    _Rule.of(
        CauseCode.NETWORK,
        r"ProxyError|407 Proxy|Tunnel connection failed",
        "the proxy refused a connection, or it does not answer",
        "correct or remove HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of the service; or download the model elsewhere and "
        "give its directory",
        "proxy",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"GatedRepoError|[Gg]ated repo|\b40[13] Client Error"
        r"|Access to model .{1,200} is restricted|Invalid credentials",
        "the model hub denied access to a model",
        "accept the model's licence on its page and set HF_TOKEN in `env`, or download it and give its directory; if "
        "the page does not exist, correct the name",
        "hub_refused",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"LocalEntryNotFoundError|MaxRetryError|Max retries exceeded|couldn't connect to|OfflineModeIsEnabled|^httpx\.",
        "the configuration that belongs to a model's single file could not be downloaded",
        "let the trainer reach the model hub (HTTPS_PROXY, or a mirror in HF_ENDPOINT of the service), or copy the "
        "hub's cache (~/.cache/huggingface) from a machine where this model type was loaded; the file itself was found",
        "hub_configuration",
        within=r"in from_single_file$",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"(?:MaxRetryError|NameResolutionError|Max retries exceeded|Cannot reach).{0,300}hugging|couldn't connect to '"
        r"|LocalEntryNotFoundError.{0,300}(?:[Cc]onnection|outgoing traffic)|OfflineModeIsEnabled"
        r"|^httpx\.\w{0,40}(?:Connect|Timeout|Proxy)"
        r"|\b(?:5\d\d Server Error|[Tt]imed ?out).{0,300}hugging"
        r"|hugging.{0,300}(?:\b[Tt]imed out|Max retries exceeded)",
        "a model could not be downloaded",
        "download it on a machine with network access, and give its directory or file in the request",
        "hub_unreachable",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"[Ee]rror no file named|does not appear to have a file named|[Uu]nable to find .*\.safetensors"
        r"|Unrecognized model in|does not contain the valid metadata"
        r"|[Cc]an't load (?:the )?(?:tokenizer|config|model|image processor|feature extractor|processor)",
        "the directory of a model is incomplete",
        "download all files of the model into it, or correct the path if it names another directory",
        "incomplete_model",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"^Exception: No such file or directory \(os error 2\)$"
        r"|missing \d+ required positional arguments?: 'vocab_file'",
        "a file of a tokenizer was not found",
        "complete the directory of the text encoder in [model] (it needs tokenizer.json); if [model] names single "
        "files only, the tokenizer belongs to the trainer: run `git checkout -- configs` in its directory",
        "missing_tokenizer",
        within=r"/(?:tokenization_|convert_slow)",
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        r"^FileNotFoundError: .*\.(?:json|safetensors|pth|pt|bin|model)'$",
        "a file of the model was not found",
        "correct the path in [model], or complete the download of the model: its directory must have this file",
        "missing_model_file",
        within=r'/models/[^"]*\.py", line \d+, in (?:__init__|load_diffusion_model|load_fn)$',
    ),
    _Rule.of(
        CauseCode.MISSING_FILE,
        # The trainer writes the files in a dataset's `cache` itself.
        rf"^FileNotFoundError(?!.*(?:No usable temporary|states\.pt'|{CACHE_FILE}|is neither a `Dataset`"
        r"|'(?:nvcc|ninja|gcc|cc|[gc]\+\+)'))"
        r"|^(?!.*(?:object file|\benv: ['‘][^'’]{1,60}['’]|cannot find -l\w+): No such)"
        r"(?!.*(?:can't open file|TensileLibrary)).*No such file or directory"
        rf"(?!: (?:{CACHE_FILE}$|'(?:[^']*states\.pt|nvcc|ninja|gcc|cc|[gc]\+\+)'$))"
        r"|HFValidationError|Invalid `pretrained_model|Incorrect path_or_model_id|model_path not exists"
        r"|\b404 Client Error|(?:LocalEntryNotFound|EntryNotFound|RepositoryNotFound)Error"
        r"|is not a (?:valid model identifier|local folder)",
        "a file or model was not found",
        "correct the path in the request, or create the file; the trainer's user must be able to read it",
        "missing_file",
    ),
)

_NCCL_TIMEOUT = _Rule.of(
    CauseCode.NCCL_TIMEOUT,
    r"Watchdog caught collective operation timeout|watchdog got stuck|wait timeout after \d+ ?ms"
    r"|NCCL operations have failed or timed out",
    "the ranks timed out while waiting for one another",
    "resume it; if it recurs, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1, or raise DEEPSPEED_TIMEOUT (minutes)",
    "nccl_timeout",
)

_RANK_MISSING = _Rule.of(
    CauseCode.NCCL_TIMEOUT,
    r"Timed out after \d+ seconds waiting for clients",
    "a rank did not start in time",
    "look in the log for what that rank did or which error it had; if the disk or the machine is slow, raise "
    "DEEPSPEED_TIMEOUT (minutes); then resume",
    "rank_missing",
)

#: _NCCL_TIMEOUT while the dataset was cached.
_NCCL_TIMEOUT_CACHING = _Rule.of(
    CauseCode.NCCL_TIMEOUT,
    _NCCL_TIMEOUT.pattern.pattern,
    "the ranks timed out while one of them cached the dataset",
    "cache the dataset first, on one GPU, and then start the training; or raise DEEPSPEED_TIMEOUT (minutes, 30 if not "
    "set) in `env`; the network is most likely not at fault",
    "nccl_timeout_caching",
)


class _Stage(Enum):
    """How far the trainer has come."""

    CONNECTED = "connected"
    CACHING = "caching"
    LOADING = "loading"
    LOADED = "loaded"
    TRAINING = "training"
    SAVING = "saving"


#: The lines that the trainer prints in each stage.
_STAGE_LINES = (
    (_Stage.TRAINING, re.compile(rf"^(?:{STEP_BEGINNING.pattern}|{NEW_EPOCH.pattern})", re.ASCII)),
    (_Stage.SAVING, re.compile(rf"^{SAVING_MODEL}|{SAVING_CHECKPOINT}")),
    (_Stage.CACHING, re.compile(rf"^(?:{CACHING}|{re.escape(CACHING_LOGGED)})")),
    (_Stage.LOADED, re.compile(r"trainable params: |Block swap enabled|Global batch size = ")),
    (_Stage.LOADING, re.compile(r"Loading checkpoint shards|Loading adapter weights")),
    (_Stage.CONNECTED, re.compile(r"Initializing TorchBackend")),
)

#: Stages before the first step in which most of the machine's memory is used.
_BEFORE_STEPS = (_Stage.CONNECTED, _Stage.CACHING, _Stage.LOADING)

#: The line between two exceptions of which the first led to the second.
_CHAINED = re.compile(r"The above exception was the direct cause|During handling of the above exception")

#: Exceptions that only pass on an earlier one.
_WRAPPER = re.compile(
    r"Unable to load weights from|Failed to import |BackendCompilerFailed|InductorError|LoweringException|raised:$"
    r"|error occurred while generating the dataset|RetryError"
)

#: Codes of hints that are only a guess: they do not replace the hint of a later exception.
_GUESSES = (
    frozenset(
        f"hint_{code}"
        for code in ("import_failed", "compile_off", "assertion", "missing_key", "gpu_and_versions", "nccl_again")
    )
    | {READ_TRACEBACK.said.code}
    | BY_PLACE
)

#: Lines that ranks print after another rank failed; they are the cause only if there is no other error.
_SECONDARY = re.compile(
    r"NCCL|ProcessGroup|DistBackendError|DistNetworkError|DistStoreError|TCPStore|Connection (?:reset|refused|closed)"
    r"|^(?:EOFError(?!: Ran out of input)|BrokenPipeError|ConnectionResetError|ConnectionRefusedError|SystemExit"
    r"|KeyboardInterrupt)"
    r"|^(?:torch\.distributed\.|subprocess\.CalledProcessError)|pymp-|terminate called|exits with return code"
)

#: A missing file has a name, except for the socket of a process that has ended.
_LOST_SOCKET = re.compile(r"^FileNotFoundError: \[Errno 2\] No such file or directory$")

#: An error of a worker of the data loader, whose own traceback follows.
_PASSED_ON = re.compile(r"^\w+: Caught \w+ in ")

#: An assertion without a message.
_NO_MESSAGE = re.compile(r"AssertionError:?\s*")

#: A warning in the form of DeepSpeed's log.
_WARNING = re.compile(r"\[(?:WARNING|ERROR)\] (?:\[[\w.]{1,80}:\d{1,6}:\w{1,80}\] )?(?:\[Rank \d+\] )?(.*)")

#: The first line of the dump of Python's fault handler, and the frames in it that are close to a crash.
_FAULT = re.compile(r"Fatal Python error: (?:Segmentation fault|Aborted|Bus error|Illegal instruction|Floating)")
_INNER_FRAMES = 8
_NATIVE_PACKAGE = re.compile(
    r"-packages/(flash_attn(?:_interface)?|xformers|bitsandbytes|sageattention|deepspeed(?=/ops/)|transformer_engine"
    r"|torch|torchvision|torchaudio|torchao|triton|comfy_kitchen|safetensors|tokenizers|sentencepiece|pyarrow|numpy"
    r"|scipy|av|PIL|cv2|tensorboard|google|wandb)[/.]"
)
_MEDIA_PACKAGES = frozenset(("av", "PIL", "cv2"))

_RETURN_CODE = re.compile(r"exits with return code = (-?\d{1,4})")
_RECEIVED = re.compile(r"Main process received (SIG[A-Z]{2,6})")


def diagnose(ending: Ending, stopped_phrase: str) -> Cause:
    """Return the cause of a failure: the first error in time, as later errors follow from it."""
    errors = find_errors(ending.last_lines)
    roots = _uncaught([error for error in errors if _is_root(error)])
    for error in roots:
        cause = _classify(error)
        if cause is not None:
            return cause
    raised = [error for error in roots if error.exception is not None]
    if ending.nan_in_a_row >= NAN_IN_A_ROW:
        return _nan(ending)
    if raised:
        return _trainer_error(_last_of_its_rank(raised), raised, ending)
    return _without_root(ending, errors, stopped_phrase)


def _is_root(error: ErrorLine) -> bool:
    if _LOST_SOCKET.search(error.text) or _PASSED_ON.search(error.text):
        return False
    if any(rule.pattern.search(error.text) for rule in _RULES):
        return True
    return not _SECONDARY.search(error.text)


def _uncaught(roots: Sequence[ErrorLine]) -> Sequence[ErrorLine]:
    """Leave out tracebacks that were only printed: torch marks the rank of those that ended a process."""
    last = max((error.position for error in roots if error.rank is not None and error.traceback), default=-1)
    return [
        error
        for error in roots
        if error.rank is not None or error.exception is None or error.is_child or error.position > last
    ]


def _classify(error: ErrorLine) -> Cause | None:
    for rule in _RULES:
        if rule.matches(error):
            return _cause(rule, error)
    return None


def _cause(rule: _Rule, error: ErrorLine) -> Cause:
    lines = error.traceback or (error.text,)
    return Cause.of(rule.code, rule.said, rule.detail + ": {line}", rule.remedy, lines, line=error.text)


def _last_of_its_rank(raised: Sequence[ErrorLine]) -> ErrorLine:
    """Return the last exception of the first rank that failed; earlier ones of that rank led to it."""
    first = raised[0].rank
    return [error for error in raised if error.rank == first][-1]


def _first_link(last: ErrorLine, raised: Sequence[ErrorLine], lines: Sequence[str]) -> ErrorLine:
    """Return the exception that began the chain of exceptions that ended with this one."""
    link = last
    for error in reversed([each for each in raised if each.rank == last.rank and each.position < last.position]):
        if not any(_CHAINED.search(line) for line in lines[error.position + 1 : link.position]):
            break
        link = error
    return link


def _trainer_error(error: ErrorLine, raised: Sequence[ErrorLine], ending: Ending) -> Cause:
    lines = ending.last_lines
    output = (*ending.warnings, *lines)
    shown = (*(error.traceback or (error.text,)), *error.details)
    text, details = error.text, error.details
    if _NO_MESSAGE.fullmatch(text):
        # A warning directly above explains a bare assertion better than its condition.
        conditions = [line.strip() for line in error.traceback if line.strip().startswith("assert ")]
        reasons = [*_warning_above(error, lines), *(line.removeprefix("assert ") for line in conditions[-1:])]
        text = f"AssertionError: {'; '.join(reasons)}"[:LINE_LIMIT] if reasons else text
        details = (*details, *reasons)
    elif is_empty(text) and details:
        text = f"{text} {details[0].strip()}"[:LINE_LIMIT]
    first = _first_link(error, raised, lines)
    # A process of a pool raises its exception twice. Only the first traceback shows the place.
    frames = error.frames if first is error else (*first.frames, *error.frames, error.text)
    hint = hint_for(error.text, frames, details, output)
    if first.text != error.text and (better := _better_hint(first, error, hint, frames, output)) is not None:
        hint = better
        text = f"{error.text} ({first.text})"[:LINE_LIMIT]
        shown = (*first.traceback[-TRACEBACK_LIMIT // 3 :], *error.traceback[-TRACEBACK_LIMIT * 2 // 3 :])
    return Cause(CauseCode.TRAINER_ERROR, text, hint.text, shown, remedy_code=hint.said)


def _better_hint(
    first: ErrorLine, last: ErrorLine, hint: Reason, frames: Sequence[str], output: Sequence[str]
) -> Reason | None:
    """Return the hint for the first exception of a chain if it says more than the hint for the last, else None."""
    is_wrapper = _WRAPPER.search(last.text) is not None
    is_guess = hint is READ_TRACEBACK or hint.said.code in BY_PLACE
    if not is_wrapper and (not is_guess or "No module named" in first.text):
        # Code often tries an optional module, fails, and goes on.
        return None
    earlier = hint_for(first.text, frames, first.details, output)
    return None if earlier.said.code in _GUESSES else earlier


def _warning_above(error: ErrorLine, lines: Sequence[str]) -> list[str]:
    """Return the message of the warning that the trainer or DeepSpeed logged directly above a traceback, if any."""
    for line in reversed(lines[: error.position]):
        text = RANK.sub("", line, count=1)
        if (warning := _WARNING.search(text)) is not None:
            return [warning[1].strip()[: LINE_LIMIT // 2]]
        if not text.startswith((" ", "\t", "Traceback")):
            break
    return []


def _without_root(ending: Ending, errors: Sequence[ErrorLine], stopped_phrase: str) -> Cause:
    """Return the cause when no original error was printed: from secondary errors, the signal or the exit code."""
    ending_signal = _signal_number(ending)
    for error in errors:
        if _RANK_MISSING.pattern.search(error.text):
            return _cause(_RANK_MISSING, error)
        if _NCCL_TIMEOUT.pattern.search(error.text):
            # If the first operation of all fails, the ranks never had contact.
            is_caching = (
                "(SeqNum=1," not in error.text and _last_stage(ending.last_lines[: error.position]) is _Stage.CACHING
            )
            return _cause(_NCCL_TIMEOUT_CACHING if is_caching else _NCCL_TIMEOUT, error)
        is_fatal = error.exception is None and ending_signal in (None, signal.SIGABRT, signal.SIGSEGV)
        is_message = error.text.startswith(WHAT) or (is_fatal and not _SECONDARY.search(error.text))
        if is_message and (hint := hint_for(error.text)) is not READ_TRACEBACK:
            return Cause(CauseCode.TRAINER_ERROR, error.text, hint.text, _last_lines(ending), remedy_code=hint.said)
        reported = _reported_signal(error)
        if reported is not None:
            return _killed(ending, reported)
    if ending_signal is not None:
        return _killed(ending, ending_signal)
    if ending.exit_code == 0:
        return _exit_zero(ending, stopped_phrase)
    if any(_RETURN_CODE.search(error.text) is None for error in errors):
        raised = [error for error in errors if error.exception is not None]
        original = [error for error in errors if not _SECONDARY.search(error.text)]
        return _trainer_error(_last_of_its_rank(raised or original or errors), raised, ending)
    return _said_nothing(ending)


def _said_nothing(ending: Ending) -> Cause:
    if ending.exit_code in (126, 127):
        return Cause.of(
            CauseCode.TRAINER_ERROR,
            "not_started",
            "a program was not found, or cannot be executed (exit code {code})",
            "set DIFFUSION_PIPE_PYTHON to the Python of the trainer's environment, create that environment again if it "
            "was moved, and check that the trainer's user may execute it, also by its disk (mounted without noexec)",
            _last_lines(ending),
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
        _last_lines(ending),
        how=how,
    )


def _last_stage(lines: Sequence[str]) -> _Stage | None:
    """Return the last stage in these lines, or None if no line shows one."""
    return next((stage for line in reversed(lines) for stage, shown in _STAGE_LINES if shown.search(line)), None)


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
    stage = _last_stage(ending.last_lines)
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
    if name == "SIGKILL" and stage is _Stage.SAVING:
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
    lines = _last_lines(ending)
    package = _crashed_package(ending.last_lines)
    if package is None:
        stage, remedy = _crash_stage(_last_stage(ending.last_lines))
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


def _crash_stage(stage: _Stage | None) -> tuple[Reason, Reason]:
    """Return when the trainer crashed, and what to do first."""
    if stage in (_Stage.TRAINING, _Stage.SAVING):
        return Reason.of("while it trained", "crash_training"), Reason.of(
            "set compile = false, delete compiled code (~/.triton, ~/.cache/torch_extensions), reinstall "
            "flash-attn, xformers and bitsandbytes in builds for the trainer's torch, and update the driver",
            "crash_training_first",
        )
    if stage is _Stage.CACHING:
        return Reason.of("while it cached the dataset", "crash_caching"), Reason.of(
            "validate the request again, which names damaged media files, set map_num_proc = 1, and reinstall "
            "flash-attn, xformers, av and pillow in builds for the trainer's torch and Python",
            "crash_caching_first",
        )
    if stage in (_Stage.LOADING, _Stage.LOADED):
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
