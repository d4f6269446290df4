"""The directories of datasets, models and registered models."""

from pathlib import Path

from api.config import Config


def datasets_root(config: Config) -> Path:
    """Return the directory of datasets."""
    return (config.datasets_root or config.storage_root / "datasets").absolute()


def models_root(config: Config) -> Path:
    """Return the directory of downloaded models, which is searched first."""
    return (config.models_root or config.storage_root / "models").absolute()


def model_directories(config: Config) -> tuple[Path, ...]:
    """Return the directories that are searched for models."""
    return (models_root(config), *(path.absolute() for path in config.models_directories))


def registry_root(config: Config) -> Path:
    """Return the directory of registered models."""
    return config.storage_root.absolute() / "registry"
