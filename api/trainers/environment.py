"""Which environment variables a request may set for its trainer, and which of them are secrets."""

import re
from collections.abc import Mapping

from api.errors import Mistake
from api.trainers.pointers import pointer, shown

#: A name may be one of these, or begin with one of the prefixes below. All the rest belongs to the service and the
#: machine: LD_* and PYTHON* would run foreign code, CUDA_VISIBLE_DEVICES would contradict the lease.
ALLOWED_NAMES = frozenset(
    {
        "CUDA_DEVICE_MAX_CONNECTIONS",
        "CUDA_LAUNCH_BLOCKING",
        "CUDA_MODULE_LOADING",
        "KMP_AFFINITY",
        "LOGLEVEL",
        "LOG_LEVEL",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TOKENIZERS_PARALLELISM",
    }
)
ALLOWED_PREFIXES = (
    "DEEPSPEED_",
    "DIFFUSERS_",
    "FLASH_ATTENTION_",
    "HF_",
    "HUGGINGFACE_",
    "NCCL_",
    "PYTORCH_",
    "TORCH_",
    "TRANSFORMERS_",
    "TRITON_",
    "WANDB_",
    "XFORMERS_",
)

#: Within the prefixes above, what names a program or a library that would be run.
_RUNS_CODE = re.compile(
    r"^(NCCL_\w*PLUGIN\w*|NCCL_CONF_FILE|TRITON_\w+_PATH|TORCH_\w*EXTENSION\w*|WANDB__\w*|\w*TRUST_REMOTE_CODE\w*)$"
)

_NAME = re.compile(r"^[A-Z][A-Z0-9_]{0,98}[A-Z0-9]$")
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD")

MAX_VARIABLES = 64
MAX_VALUE_CHARACTERS = 4096

_ALLOWED = (
    "Allowed are " + ", ".join(f"{prefix}*" for prefix in ALLOWED_PREFIXES) + ", " + ", ".join(sorted(ALLOWED_NAMES))
)


def check_env(env: Mapping[str, str]) -> list[Mistake]:
    """What is wrong with the variables of a request; a value is never repeated in a message."""
    if len(env) > MAX_VARIABLES:
        return [
            Mistake("/env", f"These are {len(env)} variables; at most {MAX_VARIABLES} are taken.", "Leave some out.")
        ]
    return [mistake for name, value in env.items() if (mistake := _mistake_in(name, value)) is not None]


def split_secrets(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The public variables and the secret ones, known by their names."""
    secret = {name: value for name, value in env.items() if _SECRET.search(name.upper())}
    return {name: value for name, value in env.items() if name not in secret}, secret


def _mistake_in(name: str, value: str) -> Mistake | None:
    at = pointer("env", name)
    if not _is_allowed(name):
        return Mistake(at, f"The variable {shown(name)} may not be set.", f"{_ALLOWED}.")
    if not isinstance(value, str):
        return Mistake(at, "The value is not a text.", "Write it in quotes.")
    if len(value) > MAX_VALUE_CHARACTERS:
        return Mistake(at, f"The value is longer than {MAX_VALUE_CHARACTERS} characters.", "Shorten it.")
    if not value.isprintable():
        return Mistake(at, "The value holds a control character or a line break.", "Write it on one line.")
    return None


def _is_allowed(name: str) -> bool:
    if not _NAME.fullmatch(name) or _RUNS_CODE.match(name):
        return False
    return name in ALLOWED_NAMES or name.startswith(ALLOWED_PREFIXES)
