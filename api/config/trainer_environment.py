"""What trainers get of the service's environment: its variables, and where they may keep caches."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from api.config.settings import Config

#: Variables of the service's own environment that a trainer gets too; everything else stays here.
_HANDED_ON = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|XDG_CACHE_HOME|SSL_CERT_FILE|SSL_CERT_DIR"
    r"|(?:https?|no|all)_proxy|HTTPS?_PROXY|NO_PROXY|ALL_PROXY|CUDA_HOME|CUDA_PATH|CUDA_CACHE_PATH|NVIDIA_\w+"
    r"|(?:HF|HUGGINGFACE|TORCH|PYTORCH|TRITON|NCCL|OMP|MKL)_\w+|TOKENIZERS_PARALLELISM|WANDB_BASE_URL)"
)


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of the service's environment that trainers get too."""
    given = os.environ if environ is None else environ
    return {name: value for name, value in given.items() if _HANDED_ON.fullmatch(name)}


#: Variables of the service's environment that name a cache.
_CACHES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TORCH_HOME", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")


def cache_roots(config: Config, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The directories below which a request may place its trainer's caches."""
    own = [environ[name] for name in _CACHES if environ.get(name)]
    home = [f"{environ['HOME']}/.cache"] if environ.get("HOME") else []
    found = [config.storage_root.absolute() / "caches", *config.trainer_cache_roots, *map(Path, [*own, *home])]
    return tuple(dict.fromkeys(path for path in found if path.is_absolute()))
