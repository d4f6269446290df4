"""Prepares the machine for trainings that run as another user."""

import logging
import os
import sys
from pathlib import Path

from api.config import Config, cache_roots, child_environment
from api.db.database import Database
from api.executors.trainer_user import TrainerUser, find_trainer_user

logger = logging.getLogger(__name__)


def prepare_trainer_user(config: Config) -> TrainerUser | None:
    """Return the user of trainings, or None without TRAINER_USER.

    Raises ConfigError if this process may not start programs as that user.
    """
    if not config.trainer_user:
        return None
    user = find_trainer_user(config.trainer_user)
    user.check()
    user.join_group()
    return user


def check_paths(user: TrainerUser, config: Config, database: Database) -> None:
    """Raise ConfigError if file permissions undo the separation of users; log paths that trainings cannot use."""
    closed = [path for path in (Path(".env"), config.admin_key_file) if path is not None]
    if database.is_sqlite and database.url.database is not None:
        closed.append(Path(database.url.database))
    user.check_paths(config.storage_root.absolute() / "tasks", closed)
    for what, path in _needed(user, config):
        if os.path.exists(path) and not user.may(what, path):
            verb = {"-w": "write to", "-r": "read", "-x": "execute"}[what]
            logger.warning("trainings run as %s, who cannot %s %s", user.name, verb, path)


def _needed(user: TrainerUser, config: Config) -> list[tuple[str, Path]]:
    environment = child_environment() | user.environment(config.storage_root.absolute() / "caches")
    needed = [("-w", path) for path in cache_roots(config, environment)]
    programs = [Path(sys.executable)]
    if config.diffusion_pipe_python is not None and "/" in config.diffusion_pipe_python:
        programs.append(Path(config.diffusion_pipe_python))
    needed += [("-x", program) for program in programs]
    if config.diffusion_pipe_root is not None:
        needed.append(("-r", config.diffusion_pipe_root / "train.py"))
    return needed
