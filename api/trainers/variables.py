"""The environment variables that a request may set for its trainer: each by its exact name, with what it may hold."""

import re
from dataclasses import dataclass
from enum import StrEnum


class VariableKind(StrEnum):
    """What the value of a variable may be."""

    FLAG = "0 or 1, true or false"
    NUMBER = "a number"
    WORD = "letters, digits and . _ - + = : , ^ @"
    TEXT = "one line of text"
    PATH = "a directory below one of the cache roots"
    SECRET = "a key without spaces"  # noqa: S105


#: The pattern of values of each kind; whether a path may be used is checked elsewhere.
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
    """One variable, with what it does in a few words."""

    name: str
    kind: VariableKind
    meaning: str


_TABLE = (
    ("CUBLAS_WORKSPACE_CONFIG", VariableKind.WORD, "cuBLAS: workspace, :4096:8 for repeatable results"),
    ("CUDA_DEVICE_MAX_CONNECTIONS", VariableKind.NUMBER, "CUDA: hardware queues"),
    ("CUDA_LAUNCH_BLOCKING", VariableKind.FLAG, "CUDA: kernels one after the other, to find a fault"),
    ("CUDA_MODULE_LOADING", VariableKind.WORD, "CUDA: LAZY or EAGER"),
    ("DEEPSPEED_TIMEOUT", VariableKind.NUMBER, "DeepSpeed: minutes that a collective may take"),
    ("DIFFUSERS_VERBOSITY", VariableKind.WORD, "diffusers: how much it says"),
    ("HF_DATASETS_CACHE", VariableKind.PATH, "datasets: where it caches"),
    ("HF_DATASETS_OFFLINE", VariableKind.FLAG, "datasets: no network"),
    ("HF_HOME", VariableKind.PATH, "Hugging Face: where everything is cached"),
    ("HF_HUB_CACHE", VariableKind.PATH, "Hugging Face: where models are cached"),
    ("HF_HUB_DISABLE_PROGRESS_BARS", VariableKind.FLAG, "Hugging Face: no progress bars"),
    ("HF_HUB_DISABLE_TELEMETRY", VariableKind.FLAG, "Hugging Face: no usage figures"),
    ("HF_HUB_DISABLE_XET", VariableKind.FLAG, "Hugging Face: downloads without Xet"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", VariableKind.NUMBER, "Hugging Face: seconds that a download may stand still"),
    ("HF_HUB_ENABLE_HF_TRANSFER", VariableKind.FLAG, "Hugging Face: the faster downloader"),
    ("HF_HUB_ETAG_TIMEOUT", VariableKind.NUMBER, "Hugging Face: seconds for the look at what is new"),
    ("HF_HUB_OFFLINE", VariableKind.FLAG, "Hugging Face: no network"),
    ("HF_HUB_VERBOSITY", VariableKind.WORD, "Hugging Face: how much it says"),
    ("HF_TOKEN", VariableKind.SECRET, "Hugging Face: the key, sent to the service's HF_ENDPOINT only"),
    ("HF_XET_HIGH_PERFORMANCE", VariableKind.FLAG, "Hugging Face: Xet takes all the bandwidth"),
    ("HUGGINGFACE_HUB_CACHE", VariableKind.PATH, "Hugging Face: the older name of HF_HUB_CACHE"),
    ("KMP_AFFINITY", VariableKind.WORD, "OpenMP: threads to cores"),
    ("LOGLEVEL", VariableKind.WORD, "how much libraries log"),
    ("LOG_LEVEL", VariableKind.WORD, "how much libraries log"),
    ("MKL_NUM_THREADS", VariableKind.NUMBER, "MKL: threads"),
    ("NCCL_ALGO", VariableKind.WORD, "NCCL: algorithms"),
    ("NCCL_ASYNC_ERROR_HANDLING", VariableKind.NUMBER, "the older name of TORCH_NCCL_ASYNC_ERROR_HANDLING"),
    ("NCCL_BLOCKING_WAIT", VariableKind.FLAG, "the older name of TORCH_NCCL_BLOCKING_WAIT"),
    ("NCCL_BUFFSIZE", VariableKind.NUMBER, "NCCL: bytes of a buffer"),
    ("NCCL_CROSS_NIC", VariableKind.NUMBER, "NCCL: rings over several network cards"),
    ("NCCL_CUMEM_ENABLE", VariableKind.FLAG, "NCCL: memory by cuMem"),
    ("NCCL_DEBUG", VariableKind.WORD, "NCCL: VERSION, WARN, INFO or TRACE"),
    ("NCCL_DEBUG_SUBSYS", VariableKind.WORD, "NCCL: of which parts"),
    ("NCCL_IB_DISABLE", VariableKind.FLAG, "NCCL: no InfiniBand"),
    ("NCCL_IB_GID_INDEX", VariableKind.NUMBER, "NCCL: index of the RoCE address"),
    ("NCCL_IB_HCA", VariableKind.WORD, "NCCL: which InfiniBand cards"),
    ("NCCL_IB_TIMEOUT", VariableKind.NUMBER, "NCCL: InfiniBand's time-out"),
    ("NCCL_MAX_NCHANNELS", VariableKind.NUMBER, "NCCL: channels at most"),
    ("NCCL_MIN_NCHANNELS", VariableKind.NUMBER, "NCCL: channels at least"),
    ("NCCL_NET_GDR_LEVEL", VariableKind.WORD, "NCCL: how far GPU-direct reaches"),
    ("NCCL_NSOCKS_PERTHREAD", VariableKind.NUMBER, "NCCL: sockets of a thread"),
    ("NCCL_NTHREADS", VariableKind.NUMBER, "NCCL: threads of a block"),
    ("NCCL_NVLS_ENABLE", VariableKind.FLAG, "NCCL: NVLink SHARP"),
    ("NCCL_P2P_DISABLE", VariableKind.FLAG, "NCCL: no direct way between GPUs"),
    ("NCCL_P2P_LEVEL", VariableKind.WORD, "NCCL: how far the direct way reaches"),
    ("NCCL_PROTO", VariableKind.WORD, "NCCL: protocols"),
    ("NCCL_SHM_DISABLE", VariableKind.FLAG, "NCCL: no shared memory"),
    ("NCCL_SOCKET_FAMILY", VariableKind.WORD, "NCCL: AF_INET or AF_INET6"),
    ("NCCL_SOCKET_IFNAME", VariableKind.WORD, "NCCL: which network interfaces"),
    ("NCCL_SOCKET_NTHREADS", VariableKind.NUMBER, "NCCL: threads for sockets"),
    ("NUMEXPR_NUM_THREADS", VariableKind.NUMBER, "numexpr: threads"),
    ("NVIDIA_TF32_OVERRIDE", VariableKind.FLAG, "CUDA libraries: 0 forbids TF32"),
    ("OMP_NUM_THREADS", VariableKind.NUMBER, "OpenMP: threads"),
    ("OPENBLAS_NUM_THREADS", VariableKind.NUMBER, "OpenBLAS: threads"),
    ("PYTORCH_ALLOC_CONF", VariableKind.WORD, "torch: how it keeps memory"),
    ("PYTORCH_CUDA_ALLOC_CONF", VariableKind.WORD, "torch: how it keeps GPU memory"),
    ("PYTORCH_NO_CUDA_MEMORY_CACHING", VariableKind.FLAG, "torch: keeps no GPU memory"),
    ("TOKENIZERS_PARALLELISM", VariableKind.FLAG, "tokenizers: several threads"),
    ("TORCHDYNAMO_DISABLE", VariableKind.FLAG, "torch: no compilation"),
    ("TORCHINDUCTOR_CACHE_DIR", VariableKind.PATH, "torch: where compiled kernels are cached"),
    ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", VariableKind.FLAG, "torch: TF32 in products"),
    ("TORCH_COMPILE_DISABLE", VariableKind.FLAG, "torch: no compilation"),
    ("TORCH_CPP_LOG_LEVEL", VariableKind.WORD, "torch: how much its C++ part logs"),
    ("TORCH_DISTRIBUTED_DEBUG", VariableKind.WORD, "torch: OFF, INFO or DETAIL"),
    ("TORCH_HOME", VariableKind.PATH, "torch: where models are cached"),
    ("TORCH_NCCL_ASYNC_ERROR_HANDLING", VariableKind.NUMBER, "torch: what a failed collective does"),
    ("TORCH_NCCL_AVOID_RECORD_STREAMS", VariableKind.FLAG, "torch: less memory in collectives"),
    ("TORCH_NCCL_BLOCKING_WAIT", VariableKind.FLAG, "torch: collectives block"),
    ("TORCH_NCCL_ENABLE_MONITORING", VariableKind.FLAG, "torch: watches collectives"),
    ("TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", VariableKind.NUMBER, "torch: seconds until the watch gives up"),
    ("TORCH_SHOW_CPP_STACKTRACES", VariableKind.FLAG, "torch: longer error messages"),
    ("TRANSFORMERS_CACHE", VariableKind.PATH, "transformers: where models are cached"),
    ("TRANSFORMERS_NO_ADVISORY_WARNINGS", VariableKind.FLAG, "transformers: fewer warnings"),
    ("TRANSFORMERS_OFFLINE", VariableKind.FLAG, "transformers: no network"),
    ("TRANSFORMERS_VERBOSITY", VariableKind.WORD, "transformers: how much it says"),
    ("TRITON_ALWAYS_COMPILE", VariableKind.FLAG, "Triton: does not use its cache"),
    ("TRITON_CACHE_DIR", VariableKind.PATH, "Triton: where compiled kernels are cached"),
    ("TRITON_PRINT_AUTOTUNING", VariableKind.FLAG, "Triton: says what it tries"),
    ("WANDB_API_KEY", VariableKind.SECRET, "Weights & Biases: the key, sent to the service's WANDB_BASE_URL only"),
    ("WANDB_CONSOLE", VariableKind.WORD, "Weights & Biases: what it captures"),
    ("WANDB_DISABLED", VariableKind.FLAG, "Weights & Biases: not at all"),
    ("WANDB_ENTITY", VariableKind.WORD, "Weights & Biases: whose project"),
    ("WANDB_MODE", VariableKind.WORD, "Weights & Biases: online, offline or disabled"),
    ("WANDB_NAME", VariableKind.TEXT, "Weights & Biases: the run's name"),
    ("WANDB_NOTES", VariableKind.TEXT, "Weights & Biases: about the run"),
    ("WANDB_PROJECT", VariableKind.WORD, "Weights & Biases: the project"),
    ("WANDB_RUN_GROUP", VariableKind.TEXT, "Weights & Biases: the run's group"),
    ("WANDB_SILENT", VariableKind.FLAG, "Weights & Biases: says nothing"),
    ("WANDB_TAGS", VariableKind.WORD, "Weights & Biases: the run's tags, by comma"),
    ("XFORMERS_MORE_DETAILS", VariableKind.FLAG, "xFormers: says why it fails"),
)

#: Every variable that a request may set, by its name. What is not here is refused.
VARIABLES = {name: Variable(name, kind, meaning) for name, kind, meaning in _TABLE}

#: Variables that say where secrets, models and figures are sent: set by a request, they could collect our own keys.
ENDPOINTS = re.compile(
    r"(?i:\w*_ENDPOINT|\w*_BASE_URL|\w*_URL|(?:https?|no|all|ftp)_proxy|NCCL_COMM_ID|MASTER_ADDR|MASTER_PORT|\w*_CA_BUNDLE"
    r"|SSL_CERT_\w+)"
)
