"""Reads the settings, once: from flags, the environment and `.env`."""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from api.config.contradictions import find_contradictions
from api.config.settings import Config
from api.util.masking import mask_secrets
from api.util.suggestions import nearest

logger = logging.getLogger("api")


class ConfigError(Exception):
    """A setting cannot be used: which one, why, and what to do."""


def read_config(
    environ: Mapping[str, str] | None = None,
    argv: Sequence[str] = (),
    dotenv_path: Path | None = Path(".env"),
) -> Config:
    """Settings from flags, then the environment, then `.env`. Raises ConfigError with every mistake."""
    given: dict[str, str | None] = {} if dotenv_path is None else _read_dotenv(dotenv_path)
    given.update(os.environ if environ is None else environ)
    flags = vars(_parser().parse_args(argv))
    values, mistakes = {}, []
    for setting in fields(Config):
        text = flags[setting.name] if flags[setting.name] is not None else given.get(setting.metadata["env"])
        if text is None or (text == "" and flags[setting.name] is None):
            continue
        try:
            values[setting.name] = setting.metadata["parse"](text)
        except ValueError as error:
            # Of an address that cannot be read nobody knows where its password is.
            shown = "" if setting.metadata["env"].endswith("_URL") else f'="{mask_secrets(text)}"'
            mistakes.append(f"{setting.metadata['env']}{shown} {error}")
    config = Config(**values)
    mistakes.extend(find_contradictions(config))
    if mistakes:
        raise ConfigError("; ".join(mistakes))
    return config


def _read_dotenv(path: Path) -> dict[str, str | None]:
    try:
        if not path.exists():
            return {}
        _check_dotenv(path)
        return dotenv_values(path)
    except PermissionError:
        raise ConfigError(
            f"{path} cannot be read by the user of this service: it must be that user's own (chown), and only its owner"
            " should read it (chmod 600)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigError(f"{path} cannot be read: {why}") from None


def _check_dotenv(path: Path) -> None:
    """Raise ConfigError with every line that would have no effect although its author expects one.

    A name that no setting resembles may belong to another program that reads the same file: a warning.
    """
    known = [setting.metadata["env"] for setting in fields(Config)]
    mistakes = []
    with path.open(encoding="utf-8") as file:
        for binding in parse_stream(file):
            # A binding begins with the empty lines before it.
            text = binding.original.string
            line = f"line {binding.original.line + text[: len(text) - len(text.lstrip())].count(chr(10))}"
            if binding.error:
                mistakes.append(f"{line} is not NAME=value: look for a quote without its pair, or a missing =")
            elif binding.key is None or binding.key in known:
                if binding.key is not None and binding.value is None:
                    mistakes.append(f"{line}: {binding.key} has no value; write {binding.key}=value")
                elif "\n" in (binding.value or ""):
                    mistakes.append(f"{line}: the value of {binding.key} goes on over lines; close its quote")
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
        raise ConfigError(f"{mask_secrets(message)}; --help lists the flags")


def program() -> str:
    """The command that started this process, as help and messages name it."""
    name = Path(sys.argv[0]).name
    return "python -m api" if name == "__main__.py" else name


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program(),
        description="Diffusion-Pipe API: GPUs and diffusion training by HTTP.",
        epilog="Each setting is a flag, an environment variable, or a line NAME=value in .env; the first found holds.\n"
        "A word before them says what to do: `serve`, as without any, or `key`, `backup`, `restore`, `audit-verify`, "
        "`worker`;\nthe flags of each are told by its own --help, as in `key --help`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for setting in fields(Config):
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
