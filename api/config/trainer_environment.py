"""What trainers receive from the service's environment: variables, and directories for caches."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from api.config.settings import Config

#: Variables of the service's environment that trainers receive; all others are withheld.
_INHERITED = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|XDG_CACHE_HOME|SSL_CERT_FILE|SSL_CERT_DIR"
    r"|(?:https?|no|all)_proxy|HTTPS?_PROXY|NO_PROXY|ALL_PROXY|CUDA_HOME|CUDA_PATH|CUDA_CACHE_PATH|NVIDIA_\w+"
    r"|(?:HF|HUGGINGFACE|TORCH|PYTORCH|TRITON|NCCL|OMP|MKL)_\w+|TOKENIZERS_PARALLELISM|WANDB_BASE_URL)"
)


#: Further variables that the libraries of trackers read, with their keys.
_OF_TRACKERS = re.compile(r"(?:WANDB|MLFLOW|TRACKIO|AWS|AZURE|GOOGLE|GRADIO)_\w+")


#: MLflow would try for minutes; the service tries again itself.
_TRACKER_DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


def tracker_environment() -> dict[str, str]:
    """Return the variables of the service's environment that the processes of trackers receive."""
    own = {name: value for name, value in os.environ.items() if _OF_TRACKERS.fullmatch(name)}
    return {**_TRACKER_DEFAULTS, **child_environment(), **own}


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of the service's environment that trainers receive."""
    given = os.environ if environ is None else environ
    return {name: value for name, value in given.items() if _INHERITED.fullmatch(name)}


#: Variables of the service's environment that name a cache directory.
_CACHES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TORCH_HOME", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")


def cache_roots(config: Config, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the directories below which requests may place trainers' caches."""
    own = [environ[name] for name in _CACHES if environ.get(name)]
    home = [f"{environ['HOME']}/.cache"] if environ.get("HOME") else []
    found = [config.storage_root.absolute() / "caches", *config.trainer_cache_roots, *map(Path, [*own, *home])]
    return tuple(dict.fromkeys(path for path in found if path.is_absolute()))
