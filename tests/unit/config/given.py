"""Settings as a test gives them: no variable of the machine, and no `.env` of the folder, is among them."""

from pathlib import Path

from api.config import Config, read_config


def read(environ: dict[str, str] | None = None, *argv: str, dotenv: Path | None = None) -> Config:
    """The settings that these variables and flags make."""
    return read_config(environ or {}, argv, dotenv)
