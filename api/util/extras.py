"""Optional packages that only some installations have: `make install EXTRAS="scenes wandb"`."""

from importlib.util import find_spec

#: The module that an extra installs.
_MODULES = {
    "scenes": "scenedetect",
    "celery": "celery",
    "otel": "opentelemetry.sdk",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}


def describe_missing(extra: str, what: str) -> str | None:
    """Return that `what` needs an extra and how to install it; None if it is installed."""
    try:
        if find_spec(_MODULES[extra]) is not None:
            return None
    except ModuleNotFoundError:  # its parent package is missing
        pass
    return f"{what} needs `make install EXTRAS={extra}` (with pip: diffusion-pipe-api[{extra}])"
