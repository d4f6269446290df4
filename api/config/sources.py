"""Read the settings, and what trainers receive from the service's environment."""

import argparse
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from api import __version__
from api.config.settings import SETTINGS, Config
from api.util.text.masking import mask_secrets
from api.util.text.suggestions import nearest

logger = logging.getLogger("api")


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

#: Variables of the service's environment that name a cache directory.
_CACHES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TORCH_HOME", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")


class ConfigError(Exception):
    """A setting that cannot be used; the message names it, the reason and what to do."""


def read_config(
    environ: Mapping[str, str] | None = None,
    argv: Sequence[str] = (),
    dotenv_path: Path | None = Path(".env"),
) -> Config:
    """Return the settings from flags, then the environment, then `.env`. Raise ConfigError with every mistake."""
    given: dict[str, str | None] = {} if dotenv_path is None else _read_dotenv(dotenv_path)
    given.update(os.environ if environ is None else environ)
    flags = vars(_parser().parse_args(argv))
    values, mistakes = {}, []
    for setting in SETTINGS.values():
        text = flags[setting.name] if flags[setting.name] is not None else given.get(setting.metadata["env"])
        if text is None or (text == "" and flags[setting.name] is None):
            continue
        try:
            values[setting.name] = setting.metadata["parse"](text)
        except ValueError as error:
            # An address that cannot be parsed is not shown, since the position of its password is unknown.
            shown = "" if setting.metadata["env"].endswith("_URL") else f'="{mask_secrets(text)}"'
            mistakes.append(f"{setting.metadata['env']}{shown} {error}")
    config = Config(**values, given=frozenset(values))
    mistakes.extend(_find_contradictions(config))
    if mistakes:
        raise ConfigError("; ".join(mistakes))
    return config


def _find_contradictions(config: Config) -> Iterator[str]:
    """Yield a message for each contradiction between valid settings. It names the settings and what to do."""
    if config.role == "node" and not config.head_url:
        yield "ROLE=node needs HEAD_URL, the address of the server to which it reports its GPUs"
    if config.caption_endpoint and config.caption_command:
        yield "CAPTION_ENDPOINT and CAPTION_COMMAND are both set, but only one can write captions; remove one"
    yield from _find_sampling_contradictions(config)
    if not config.is_loopback and not config.needs_keys and not config.allow_unauthenticated:
        yield (
            f"API_HOST={config.host} is reachable from other machines and no keys are required: anyone there could "
            "use this service. Set AUTH=required, which prints an administrator's key at the first start; or "
            "listen on 127.0.0.1 and use an SSH tunnel; or set ALLOW_UNAUTHENTICATED=1 if the network is trusted"
        )
    if config.executor == "slurm" and not (config.slurmrestd_url and config.slurm_token_file):
        yield "EXECUTOR=slurm needs SLURMRESTD_URL (the address of Slurm's API) and SLURM_TOKEN_FILE (its token)"
    if config.executor == "slurm" and config.trainer_user:
        yield "TRAINER_USER has no effect on a cluster: trainings run as the user of SLURM_TOKEN_FILE; remove it"
    if config.oidc_issuer and not (config.oidc_client_id and config.oidc_roles):
        yield "OIDC_ISSUER needs OIDC_CLIENT_ID and OIDC_ROLES: without roles, no user may sign in"
    if config.visibility == "own" and not config.needs_keys:
        yield "VISIBILITY=own needs AUTH=required: without keys, tasks have no owners"
    bounds = (config.quota_gpus, config.quota_queued_tasks, config.quota_gpu_hours_per_day, config.quota_storage_gb)
    if any(bound is not None for bound in bounds) and not config.needs_keys:
        yield "QUOTA_* needs AUTH=required: without keys, usage cannot be counted by user"


def _find_sampling_contradictions(config: Config) -> Iterator[str]:
    if len(config.comfyui_loras) not in (0, 1, len(config.comfyui_url.split(","))):
        yield "COMFYUI_LORAS needs one directory for each address of COMFYUI_URL, in the same order, or one for all"
    if config.comfyui_url and config.sample_command:
        yield "COMFYUI_URL and SAMPLE_COMMAND are both set, but only one can render samples; remove one"


def _read_dotenv(path: Path) -> dict[str, str | None]:
    try:
        if not path.exists():
            return {}
        _check_dotenv(path)
        return dotenv_values(path)
    except PermissionError:
        raise ConfigError(
            f"{path} cannot be read by the user of this service: make that user its owner (chown), and let only the"
            " owner read it (chmod 600)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {why}") from None


def _check_dotenv(path: Path) -> None:
    """Raise ConfigError with every line that has no effect, contrary to its author's intention.

    Names unlike any setting only cause a warning, because another program may read the same file.
    """
    known = [setting.metadata["env"] for setting in SETTINGS.values()]
    mistakes = []
    with path.open(encoding="utf-8") as file:
        for binding in parse_stream(file):
            # A binding includes the empty lines before it.
            text = binding.original.string
            line = f"line {binding.original.line + text[: len(text) - len(text.lstrip())].count(chr(10))}"
            if binding.error:
                mistakes.append(f"{line} is not NAME=value: correct an unmatched quote or a missing =")
            elif binding.key is None or binding.key in known:
                if binding.key is not None and binding.value is None:
                    mistakes.append(f"{line}: {binding.key} has no value; write {binding.key}=value")
                elif "\n" in (binding.value or ""):
                    mistakes.append(f"{line}: the value of {binding.key} spans several lines; close its quote")
            elif close := nearest(binding.key.upper(), known, likeness=0.8):
                mistakes.append(f'{line}: unknown setting "{binding.key}"; did you mean "{close}"?')
            else:
                close = nearest(binding.key.upper(), known)
                hint = f'; did you mean "{close}"?' if close else ""
                logger.warning('%s, %s: "%s" is not a setting and has no effect%s', path, line, binding.key, hint)
    if mistakes:
        raise ConfigError(f"{path}: {'; '.join(mistakes)}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{mask_secrets(message)}; --help lists the options")


def program() -> str:
    """Return the name of this program as shown in help and messages."""
    name = Path(sys.argv[0]).name
    return "python -m api" if name == "__main__.py" else name


def refuse(why: object, code: int = 1, command: str = "") -> int:
    """Print why this program ends, and return its exit code. `command` follows the program's name."""
    print(f"{program()}{command}: {why}", file=sys.stderr)  # noqa: T201
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program(),
        description="Diffusion-Pipe API: GPUs and diffusion training by HTTP.",
        epilog="Each setting is an option, an environment variable, or a line NAME=value in .env, in this order.\n"
        "A command may come first: `serve` (the default), `key`, `backup`, `restore`, `audit-verify`,\n"
        "`check-trainer` or `worker`.\n"
        "Its own --help lists its options, such as `key --help`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    for setting in SETTINGS.values():
        env = setting.metadata["env"]
        names = [f"--{env.lower().replace('_', '-')}"]
        if env in ("API_HOST", "API_PORT"):
            names.insert(0, f"--{setting.name}")
        parser.add_argument(
            *names,
            dest=setting.name,
            metavar="VALUE",
            help=f"{setting.metadata['help']} [{env}; default: {setting.metadata['shown']}]".replace("%", "%%"),
        )
    return parser


def tracker_environment() -> dict[str, str]:
    """Return the variables of the service's environment that the processes of trackers receive."""
    own = {name: value for name, value in os.environ.items() if _OF_TRACKERS.fullmatch(name)}
    return {**_TRACKER_DEFAULTS, **child_environment(), **own}


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of the service's environment that trainers receive."""
    given = os.environ if environ is None else environ
    return {name: value for name, value in given.items() if _INHERITED.fullmatch(name)}


def cache_roots(config: Config, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the directories below which requests may place trainers' caches."""
    own = [environ[name] for name in _CACHES if environ.get(name)]
    home = [f"{environ['HOME']}/.cache"] if environ.get("HOME") else []
    found = [config.storage_root.absolute() / "caches", *config.trainer_cache_roots, *map(Path, [*own, *home])]
    return tuple(dict.fromkeys(path for path in found if path.is_absolute()))
