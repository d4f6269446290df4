"""The environment variables that a request may set for its trainer: each by its exact name, with what it may hold."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What the value of a variable may be."""

    FLAG = "0 or 1, true or false"
    NUMBER = "a number"
    WORD = "letters, digits and . _ - + = : , ^ @"
    TEXT = "one line of text"
    PATH = "a directory below one of the cache roots"
    SECRET = "a key without spaces"  # noqa: S105


#: What a value of each kind looks like; a path is looked up besides.
FORMS = {
    Kind.FLAG: re.compile(r"(?i:0|1|true|false|yes|no|on|off)"),
    Kind.NUMBER: re.compile(r"-?\d{1,18}(?:\.\d{1,9})?", re.ASCII),
    Kind.WORD: re.compile(r"[A-Za-z0-9._+=:,^@-]{0,512}"),
    Kind.TEXT: re.compile(r".*"),
    Kind.PATH: re.compile(r"/.+"),
    Kind.SECRET: re.compile(r"[!-~]+"),
}


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable, with what it does in a few words."""

    name: str
    kind: Kind
    meaning: str


_TABLE = (
    ("CUBLAS_WORKSPACE_CONFIG", Kind.WORD, "cuBLAS: workspace, :4096:8 for repeatable results"),
    ("CUDA_DEVICE_MAX_CONNECTIONS", Kind.NUMBER, "CUDA: hardware queues"),
    ("CUDA_LAUNCH_BLOCKING", Kind.FLAG, "CUDA: kernels one after the other, to find a fault"),
    ("CUDA_MODULE_LOADING", Kind.WORD, "CUDA: LAZY or EAGER"),
    ("DEEPSPEED_TIMEOUT", Kind.NUMBER, "DeepSpeed: minutes that a collective may take"),
    ("DIFFUSERS_VERBOSITY", Kind.WORD, "diffusers: how much it says"),
    ("HF_DATASETS_CACHE", Kind.PATH, "datasets: where it caches"),
    ("HF_DATASETS_OFFLINE", Kind.FLAG, "datasets: no network"),
    ("HF_HOME", Kind.PATH, "Hugging Face: where everything is cached"),
    ("HF_HUB_CACHE", Kind.PATH, "Hugging Face: where models are cached"),
    ("HF_HUB_DISABLE_PROGRESS_BARS", Kind.FLAG, "Hugging Face: no progress bars"),
    ("HF_HUB_DISABLE_TELEMETRY", Kind.FLAG, "Hugging Face: no usage figures"),
    ("HF_HUB_DISABLE_XET", Kind.FLAG, "Hugging Face: downloads without Xet"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", Kind.NUMBER, "Hugging Face: seconds that a download may stand still"),
    ("HF_HUB_ENABLE_HF_TRANSFER", Kind.FLAG, "Hugging Face: the faster downloader"),
    ("HF_HUB_ETAG_TIMEOUT", Kind.NUMBER, "Hugging Face: seconds for the look at what is new"),
    ("HF_HUB_OFFLINE", Kind.FLAG, "Hugging Face: no network"),
    ("HF_HUB_VERBOSITY", Kind.WORD, "Hugging Face: how much it says"),
    ("HF_TOKEN", Kind.SECRET, "Hugging Face: the key, sent to the service's HF_ENDPOINT only"),
    ("HF_XET_HIGH_PERFORMANCE", Kind.FLAG, "Hugging Face: Xet takes all the bandwidth"),
    ("HUGGINGFACE_HUB_CACHE", Kind.PATH, "Hugging Face: the older name of HF_HUB_CACHE"),
    ("KMP_AFFINITY", Kind.WORD, "OpenMP: threads to cores"),
    ("LOGLEVEL", Kind.WORD, "how much libraries log"),
    ("LOG_LEVEL", Kind.WORD, "how much libraries log"),
    ("MKL_NUM_THREADS", Kind.NUMBER, "MKL: threads"),
    ("NCCL_ALGO", Kind.WORD, "NCCL: algorithms"),
    ("NCCL_ASYNC_ERROR_HANDLING", Kind.NUMBER, "the older name of TORCH_NCCL_ASYNC_ERROR_HANDLING"),
    ("NCCL_BLOCKING_WAIT", Kind.FLAG, "the older name of TORCH_NCCL_BLOCKING_WAIT"),
    ("NCCL_BUFFSIZE", Kind.NUMBER, "NCCL: bytes of a buffer"),
    ("NCCL_CROSS_NIC", Kind.NUMBER, "NCCL: rings over several network cards"),
    ("NCCL_CUMEM_ENABLE", Kind.FLAG, "NCCL: memory by cuMem"),
    ("NCCL_DEBUG", Kind.WORD, "NCCL: VERSION, WARN, INFO or TRACE"),
    ("NCCL_DEBUG_SUBSYS", Kind.WORD, "NCCL: of which parts"),
    ("NCCL_IB_DISABLE", Kind.FLAG, "NCCL: no InfiniBand"),
    ("NCCL_IB_GID_INDEX", Kind.NUMBER, "NCCL: index of the RoCE address"),
    ("NCCL_IB_HCA", Kind.WORD, "NCCL: which InfiniBand cards"),
    ("NCCL_IB_TIMEOUT", Kind.NUMBER, "NCCL: InfiniBand's time-out"),
    ("NCCL_MAX_NCHANNELS", Kind.NUMBER, "NCCL: channels at most"),
    ("NCCL_MIN_NCHANNELS", Kind.NUMBER, "NCCL: channels at least"),
    ("NCCL_NET_GDR_LEVEL", Kind.WORD, "NCCL: how far GPU-direct reaches"),
    ("NCCL_NSOCKS_PERTHREAD", Kind.NUMBER, "NCCL: sockets of a thread"),
    ("NCCL_NTHREADS", Kind.NUMBER, "NCCL: threads of a block"),
    ("NCCL_NVLS_ENABLE", Kind.FLAG, "NCCL: NVLink SHARP"),
    ("NCCL_P2P_DISABLE", Kind.FLAG, "NCCL: no direct way between GPUs"),
    ("NCCL_P2P_LEVEL", Kind.WORD, "NCCL: how far the direct way reaches"),
    ("NCCL_PROTO", Kind.WORD, "NCCL: protocols"),
    ("NCCL_SHM_DISABLE", Kind.FLAG, "NCCL: no shared memory"),
    ("NCCL_SOCKET_FAMILY", Kind.WORD, "NCCL: AF_INET or AF_INET6"),
    ("NCCL_SOCKET_IFNAME", Kind.WORD, "NCCL: which network interfaces"),
    ("NCCL_SOCKET_NTHREADS", Kind.NUMBER, "NCCL: threads for sockets"),
    ("NUMEXPR_NUM_THREADS", Kind.NUMBER, "numexpr: threads"),
    ("NVIDIA_TF32_OVERRIDE", Kind.FLAG, "CUDA libraries: 0 forbids TF32"),
    ("OMP_NUM_THREADS", Kind.NUMBER, "OpenMP: threads"),
    ("OPENBLAS_NUM_THREADS", Kind.NUMBER, "OpenBLAS: threads"),
    ("PYTORCH_ALLOC_CONF", Kind.WORD, "torch: how it keeps memory"),
    ("PYTORCH_CUDA_ALLOC_CONF", Kind.WORD, "torch: how it keeps GPU memory"),
    ("PYTORCH_NO_CUDA_MEMORY_CACHING", Kind.FLAG, "torch: keeps no GPU memory"),
    ("TOKENIZERS_PARALLELISM", Kind.FLAG, "tokenizers: several threads"),
    ("TORCHDYNAMO_DISABLE", Kind.FLAG, "torch: no compilation"),
    ("TORCHINDUCTOR_CACHE_DIR", Kind.PATH, "torch: where compiled kernels are cached"),
    ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", Kind.FLAG, "torch: TF32 in products"),
    ("TORCH_COMPILE_DISABLE", Kind.FLAG, "torch: no compilation"),
    ("TORCH_CPP_LOG_LEVEL", Kind.WORD, "torch: how much its C++ part logs"),
    ("TORCH_DISTRIBUTED_DEBUG", Kind.WORD, "torch: OFF, INFO or DETAIL"),
    ("TORCH_HOME", Kind.PATH, "torch: where models are cached"),
    ("TORCH_NCCL_ASYNC_ERROR_HANDLING", Kind.NUMBER, "torch: what a failed collective does"),
    ("TORCH_NCCL_AVOID_RECORD_STREAMS", Kind.FLAG, "torch: less memory in collectives"),
    ("TORCH_NCCL_BLOCKING_WAIT", Kind.FLAG, "torch: collectives block"),
    ("TORCH_NCCL_ENABLE_MONITORING", Kind.FLAG, "torch: watches collectives"),
    ("TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", Kind.NUMBER, "torch: seconds until the watch gives up"),
    ("TORCH_SHOW_CPP_STACKTRACES", Kind.FLAG, "torch: longer error messages"),
    ("TRANSFORMERS_CACHE", Kind.PATH, "transformers: where models are cached"),
    ("TRANSFORMERS_NO_ADVISORY_WARNINGS", Kind.FLAG, "transformers: fewer warnings"),
    ("TRANSFORMERS_OFFLINE", Kind.FLAG, "transformers: no network"),
    ("TRANSFORMERS_VERBOSITY", Kind.WORD, "transformers: how much it says"),
    ("TRITON_ALWAYS_COMPILE", Kind.FLAG, "Triton: does not use its cache"),
    ("TRITON_CACHE_DIR", Kind.PATH, "Triton: where compiled kernels are cached"),
    ("TRITON_PRINT_AUTOTUNING", Kind.FLAG, "Triton: says what it tries"),
    ("WANDB_API_KEY", Kind.SECRET, "Weights & Biases: the key, sent to the service's WANDB_BASE_URL only"),
    ("WANDB_CONSOLE", Kind.WORD, "Weights & Biases: what it captures"),
    ("WANDB_DISABLED", Kind.FLAG, "Weights & Biases: not at all"),
    ("WANDB_ENTITY", Kind.WORD, "Weights & Biases: whose project"),
    ("WANDB_MODE", Kind.WORD, "Weights & Biases: online, offline or disabled"),
    ("WANDB_NAME", Kind.TEXT, "Weights & Biases: the run's name"),
    ("WANDB_NOTES", Kind.TEXT, "Weights & Biases: about the run"),
    ("WANDB_PROJECT", Kind.WORD, "Weights & Biases: the project"),
    ("WANDB_RUN_GROUP", Kind.TEXT, "Weights & Biases: the run's group"),
    ("WANDB_SILENT", Kind.FLAG, "Weights & Biases: says nothing"),
    ("WANDB_TAGS", Kind.WORD, "Weights & Biases: the run's tags, by comma"),
    ("XFORMERS_MORE_DETAILS", Kind.FLAG, "xFormers: says why it fails"),
)

#: Every variable that a request may set, by its name. What is not here is refused.
VARIABLES = {name: Variable(name, kind, meaning) for name, kind, meaning in _TABLE}

#: Where secrets, models and figures are sent: in a request they could collect the service's own keys.
ENDPOINTS = re.compile(
    r"(?i:\w*_ENDPOINT|\w*_BASE_URL|\w*_URL|(?:https?|no|all|ftp)_proxy|NCCL_COMM_ID|MASTER_ADDR|MASTER_PORT|\w*_CA_BUNDLE"
    r"|SSL_CERT_\w+)"
)
