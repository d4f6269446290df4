"""Settings without the machine's variables and without a `.env` file."""

from pathlib import Path

from api.config import Config, read_config


def read(environ: dict[str, str] | None = None, *argv: str, dotenv: Path | None = None) -> Config:
    """Return the settings for these variables and flags."""
    return read_config(environ or {}, argv, dotenv)
