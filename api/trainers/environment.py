"""The environment variables that a request may set for its trainer, their values, and which of them are secrets."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from api.domain.finding import make_finding, pointer, shown
from api.domain.reason import Reason
from api.errors import Finding, FindingText
from api.util.text.masking import has_userinfo
from api.util.text.suggestions import nearest


class VariableKind(StrEnum):
    """The permitted values of a variable."""

    FLAG = "0 or 1, true or false"
    NUMBER = "a number"
    WORD = "letters, digits and . _ - + = : , ^ @"
    TEXT = "one line of text"
    PATH = "a directory below one of the cache roots"
    SECRET = "a key without spaces"  # noqa: S105


#: The pattern of each kind; permitted paths are checked elsewhere.
FORMS = {
    VariableKind.FLAG: re.compile(r"(?i:0|1|true|false|yes|no|on|off)"),
    VariableKind.NUMBER: re.compile(r"-?\d{1,18}(?:\.\d{1,9})?", re.ASCII),
    VariableKind.WORD: re.compile(r"[A-Za-z0-9._+=:,^@-]{0,512}"),
    VariableKind.TEXT: re.compile(r".*"),
    VariableKind.PATH: re.compile(r"/.+"),
    VariableKind.SECRET: re.compile(r"[!-~]+"),
}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable and a short description."""

    name: str
    kind: VariableKind
    meaning: str


_TABLE = (
    ("CUBLAS_WORKSPACE_CONFIG", VariableKind.WORD, "cuBLAS: workspace, :4096:8 for repeatable results"),
    ("CUDA_DEVICE_MAX_CONNECTIONS", VariableKind.NUMBER, "CUDA: hardware queues"),
    ("CUDA_LAUNCH_BLOCKING", VariableKind.FLAG, "CUDA: run kernels one at a time, to find a fault"),
    ("CUDA_MODULE_LOADING", VariableKind.WORD, "CUDA: LAZY or EAGER"),
    ("DEEPSPEED_TIMEOUT", VariableKind.NUMBER, "DeepSpeed: most minutes of a collective operation"),
    ("DIFFUSERS_VERBOSITY", VariableKind.WORD, "diffusers: log level"),
    ("HF_DATASETS_CACHE", VariableKind.PATH, "datasets: cache directory"),
    ("HF_DATASETS_OFFLINE", VariableKind.FLAG, "datasets: no network"),
    ("HF_HOME", VariableKind.PATH, "Hugging Face: directory of all caches"),
    ("HF_HUB_CACHE", VariableKind.PATH, "Hugging Face: cache directory of models"),
    ("HF_HUB_DISABLE_PROGRESS_BARS", VariableKind.FLAG, "Hugging Face: no progress bars"),
    ("HF_HUB_DISABLE_TELEMETRY", VariableKind.FLAG, "Hugging Face: no telemetry"),
    ("HF_HUB_DISABLE_XET", VariableKind.FLAG, "Hugging Face: downloads without Xet"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", VariableKind.NUMBER, "Hugging Face: time-out of a stalled download in seconds"),
    ("HF_HUB_ENABLE_HF_TRANSFER", VariableKind.FLAG, "Hugging Face: the faster downloader"),
    ("HF_HUB_ETAG_TIMEOUT", VariableKind.NUMBER, "Hugging Face: time-out of the check for new versions in seconds"),
    ("HF_HUB_OFFLINE", VariableKind.FLAG, "Hugging Face: no network"),
    ("HF_HUB_VERBOSITY", VariableKind.WORD, "Hugging Face: log level"),
    ("HF_TOKEN", VariableKind.SECRET, "Hugging Face: access token, sent to the service's HF_ENDPOINT only"),
    ("HF_XET_HIGH_PERFORMANCE", VariableKind.FLAG, "Hugging Face: Xet uses all the bandwidth"),
    ("HUGGINGFACE_HUB_CACHE", VariableKind.PATH, "Hugging Face: the older name of HF_HUB_CACHE"),
    ("KMP_AFFINITY", VariableKind.WORD, "OpenMP: binding of threads to cores"),
    ("LOGLEVEL", VariableKind.WORD, "log level of libraries"),
    ("LOG_LEVEL", VariableKind.WORD, "log level of libraries"),
    ("MKL_NUM_THREADS", VariableKind.NUMBER, "MKL: threads"),
    ("NCCL_ALGO", VariableKind.WORD, "NCCL: algorithms"),
    ("NCCL_ASYNC_ERROR_HANDLING", VariableKind.NUMBER, "the older name of TORCH_NCCL_ASYNC_ERROR_HANDLING"),
    ("NCCL_BLOCKING_WAIT", VariableKind.FLAG, "the older name of TORCH_NCCL_BLOCKING_WAIT"),
    ("NCCL_BUFFSIZE", VariableKind.NUMBER, "NCCL: buffer size in bytes"),
    ("NCCL_CROSS_NIC", VariableKind.NUMBER, "NCCL: rings over several network cards"),
    ("NCCL_CUMEM_ENABLE", VariableKind.FLAG, "NCCL: memory allocation by cuMem"),
    ("NCCL_DEBUG", VariableKind.WORD, "NCCL: VERSION, WARN, INFO or TRACE"),
    ("NCCL_DEBUG_SUBSYS", VariableKind.WORD, "NCCL: parts that log"),
    ("NCCL_IB_DISABLE", VariableKind.FLAG, "NCCL: no InfiniBand"),
    ("NCCL_IB_GID_INDEX", VariableKind.NUMBER, "NCCL: index of the RoCE address"),
    ("NCCL_IB_HCA", VariableKind.WORD, "NCCL: InfiniBand cards to use"),
    ("NCCL_IB_TIMEOUT", VariableKind.NUMBER, "NCCL: time-out of InfiniBand"),
    ("NCCL_MAX_NCHANNELS", VariableKind.NUMBER, "NCCL: most channels"),
    ("NCCL_MIN_NCHANNELS", VariableKind.NUMBER, "NCCL: fewest channels"),
    ("NCCL_NET_GDR_LEVEL", VariableKind.WORD, "NCCL: distance for GPUDirect"),
    ("NCCL_NSOCKS_PERTHREAD", VariableKind.NUMBER, "NCCL: sockets per thread"),
    ("NCCL_NTHREADS", VariableKind.NUMBER, "NCCL: threads per block"),
    ("NCCL_NVLS_ENABLE", VariableKind.FLAG, "NCCL: NVLink SHARP"),
    ("NCCL_P2P_DISABLE", VariableKind.FLAG, "NCCL: no direct transfer between GPUs"),
    ("NCCL_P2P_LEVEL", VariableKind.WORD, "NCCL: distance for direct transfer between GPUs"),
    ("NCCL_PROTO", VariableKind.WORD, "NCCL: protocols"),
    ("NCCL_SHM_DISABLE", VariableKind.FLAG, "NCCL: no shared memory"),
    ("NCCL_SOCKET_FAMILY", VariableKind.WORD, "NCCL: AF_INET or AF_INET6"),
    ("NCCL_SOCKET_IFNAME", VariableKind.WORD, "NCCL: network interfaces to use"),
    ("NCCL_SOCKET_NTHREADS", VariableKind.NUMBER, "NCCL: threads for sockets"),
    ("NUMEXPR_NUM_THREADS", VariableKind.NUMBER, "numexpr: threads"),
    ("NVIDIA_TF32_OVERRIDE", VariableKind.FLAG, "CUDA libraries: 0 forbids TF32"),
    ("OMP_NUM_THREADS", VariableKind.NUMBER, "OpenMP: threads"),
    ("OPENBLAS_NUM_THREADS", VariableKind.NUMBER, "OpenBLAS: threads"),
    ("PYTHONFAULTHANDLER", VariableKind.FLAG, "Python: print where a crash in native code happened"),
    ("PYTORCH_ALLOC_CONF", VariableKind.WORD, "torch: options of the memory allocator"),
    ("PYTORCH_CUDA_ALLOC_CONF", VariableKind.WORD, "torch: options of the GPU memory allocator"),
    ("PYTORCH_NO_CUDA_MEMORY_CACHING", VariableKind.FLAG, "torch: no caching of GPU memory"),
    ("TOKENIZERS_PARALLELISM", VariableKind.FLAG, "tokenizers: use several threads"),
    ("TORCHDYNAMO_DISABLE", VariableKind.FLAG, "torch: no compilation"),
    ("TORCHINDUCTOR_CACHE_DIR", VariableKind.PATH, "torch: cache directory of compiled kernels"),
    ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", VariableKind.FLAG, "torch: TF32 in matrix products"),
    ("TORCH_COMPILE_DISABLE", VariableKind.FLAG, "torch: no compilation"),
    ("TORCH_CPP_LOG_LEVEL", VariableKind.WORD, "torch: log level of its C++ code"),
    ("TORCH_DISTRIBUTED_DEBUG", VariableKind.WORD, "torch: OFF, INFO or DETAIL"),
    ("TORCH_HOME", VariableKind.PATH, "torch: cache directory of models"),
    ("TORCH_NCCL_ASYNC_ERROR_HANDLING", VariableKind.NUMBER, "torch: reaction to a failed collective operation"),
    ("TORCH_NCCL_AVOID_RECORD_STREAMS", VariableKind.FLAG, "torch: less memory in collective operations"),
    ("TORCH_NCCL_BLOCKING_WAIT", VariableKind.FLAG, "torch: collective operations block"),
    ("TORCH_NCCL_ENABLE_MONITORING", VariableKind.FLAG, "torch: monitor collective operations"),
    ("TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", VariableKind.NUMBER, "torch: time-out of the monitor in seconds"),
    ("TORCH_SHOW_CPP_STACKTRACES", VariableKind.FLAG, "torch: longer error messages"),
    ("TRANSFORMERS_CACHE", VariableKind.PATH, "transformers: cache directory of models"),
    ("TRANSFORMERS_NO_ADVISORY_WARNINGS", VariableKind.FLAG, "transformers: fewer warnings"),
    ("TRANSFORMERS_OFFLINE", VariableKind.FLAG, "transformers: no network"),
    ("TRANSFORMERS_VERBOSITY", VariableKind.WORD, "transformers: log level"),
    ("TRITON_ALWAYS_COMPILE", VariableKind.FLAG, "Triton: ignore the cache"),
    ("TRITON_CACHE_DIR", VariableKind.PATH, "Triton: cache directory of compiled kernels"),
    ("TRITON_PRINT_AUTOTUNING", VariableKind.FLAG, "Triton: print tuning results"),
    ("WANDB_API_KEY", VariableKind.SECRET, "Weights & Biases: API key, sent to the service's WANDB_BASE_URL only"),
    ("WANDB_CONSOLE", VariableKind.WORD, "Weights & Biases: capture of console output"),
    ("WANDB_DISABLED", VariableKind.FLAG, "Weights & Biases: disabled"),
    ("WANDB_ENTITY", VariableKind.WORD, "Weights & Biases: owner of the project"),
    ("WANDB_MODE", VariableKind.WORD, "Weights & Biases: online, offline or disabled"),
    ("WANDB_NAME", VariableKind.TEXT, "Weights & Biases: the run's name"),
    ("WANDB_NOTES", VariableKind.TEXT, "Weights & Biases: notes notes about the run"),
    ("WANDB_PROJECT", VariableKind.WORD, "Weights & Biases: the project"),
    ("WANDB_RUN_GROUP", VariableKind.TEXT, "Weights & Biases: the run's group"),
    ("WANDB_SILENT", VariableKind.FLAG, "Weights & Biases: no console output"),
    ("WANDB_TAGS", VariableKind.WORD, "Weights & Biases: tags of the run, by comma"),
    ("XFORMERS_MORE_DETAILS", VariableKind.FLAG, "xFormers: detailed error messages"),
)

#: Every variable that a request may set, by name. Others are rejected.
VARIABLES = {name: Variable(name, kind, meaning) for name, kind, meaning in _TABLE}

# Variables that direct secrets, models and metrics to an address. If a request could set them, it could steal
#: secrets of the service.
ENDPOINTS = re.compile(
    r"(?i:\w*_ENDPOINT|\w*_BASE_URL|\w*_URL|(?:https?|no|all|ftp)_proxy|NCCL_COMM_ID|MASTER_ADDR|MASTER_PORT|\w*_CA_BUNDLE"
    r"|SSL_CERT_\w+)"
)


_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD")

MAX_VARIABLES = 64
MAX_VALUE_CHARACTERS = 4096

_ALLOWED = Reason.of("Allowed are {names}.", "advice_allowed", names=", ".join(VARIABLES))
#: Only the first unknown name lists all allowed ones; repeated for 64 names, the list would have 150 kB.
_ALLOWED_ABOVE = Reason.of("The first rejected variable lists the allowed ones.", "advice_allowed_above")


def check_env(env: Mapping[str, str], cache_roots: Sequence[Path] = ()) -> list[Finding]:
    """Return the findings about the variables of a request. Messages never repeat a value.

    Directories in variables must be below one of `cache_roots`.
    """
    if len(env) > MAX_VARIABLES:
        return [
            make_finding(
                "/env",
                FindingText(
                    "env_too_many", "The request sets {count} variables; the limit is {max_variables}.", "Remove some."
                ),
                count=len(env),
                max_variables=MAX_VARIABLES,
            )
        ]
    mistakes: list[Finding] = []
    has_unknown = False
    for name, value in env.items():
        variable = VARIABLES.get(name)
        if variable is None:
            mistakes.append(_reject(name, with_list=not has_unknown))
            has_unknown = True
        elif (mistake := _find_problem(variable, value, cache_roots)) is not None:
            mistakes.append(mistake)
    return mistakes


def split_secrets(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the public and the secret variables. The table, the name, or a password in the value make one secret."""
    secret = {name: value for name, value in env.items() if _is_secret(name) or has_userinfo(str(value))}
    return {name: value for name, value in env.items() if name not in secret}, secret


def _is_secret(name: str) -> bool:
    known = VARIABLES.get(name)
    return bool(_SECRET.search(name.upper())) if known is None else known.kind is VariableKind.SECRET


def _reject(name: str, with_list: bool) -> Finding:
    remedy = _ALLOWED if with_list else _ALLOWED_ABOVE
    if ENDPOINTS.fullmatch(name):
        remedy = Reason.of(
            "Only the operator can set addresses and proxies, in the service's environment. {allowed}",
            "advice_operator_variable",
            allowed=remedy,
        )
    elif close := nearest(name, VARIABLES, likeness=0.85):
        remedy = Reason.of("Did you mean {close}? {allowed}", "advice_close_variable", close=close, allowed=remedy)
    return make_finding(
        pointer("env", name),
        FindingText("env_not_allowed", "The variable {name} cannot be set by a request."),
        remedy=remedy,
        name=shown(name),
    )


def _find_problem(variable: Variable, value: str, cache_roots: Sequence[Path]) -> Finding | None:
    at = pointer("env", variable.name)
    if not isinstance(value, str):
        return make_finding(at, FindingText("env_not_string", "The value is not a string.", "Write it in quotes."))
    if len(value) > MAX_VALUE_CHARACTERS:
        return make_finding(
            at,
            FindingText("env_too_long", "The value is longer than {most} characters.", "Shorten it."),
            most=MAX_VALUE_CHARACTERS,
        )
    if not value.isprintable():
        return make_finding(
            at,
            FindingText(
                "env_not_one_line", "The value contains a control character or a line break.", "Write it on one line."
            ),
        )
    if not FORMS[variable.kind].fullmatch(value):
        return make_finding(
            at,
            FindingText("env_of_other_kind", "The value is not {kind}.", "{variable} is {meaning}."),
            kind=variable.kind,
            variable=variable.name,
            meaning=variable.meaning,
        )
    if variable.kind is VariableKind.PATH and not _lies_below(value, cache_roots):
        below = ", ".join(map(str, cache_roots)) or "no directory"
        return make_finding(
            at,
            FindingText(
                "env_directory_elsewhere",
                "The directory is not below {below}.",
                "Choose a directory there, or have the operator add one to TRAINER_CACHE_ROOTS.",
            ),
            below=below,
        )
    return None


def _lies_below(path: str, roots: Sequence[Path]) -> bool:
    # Resolve links on both sides, because the target decides where the trainer writes.
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots)
