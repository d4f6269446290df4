"""Where files of datasets, of models and of registered models lie."""

from pathlib import Path

from api.config import Config


def datasets_root(config: Config) -> Path:
    """The directory of the files of datasets."""
    return (config.datasets_root or config.storage_root / "datasets").absolute()


def models_root(config: Config) -> Path:
    """Where models are downloaded to, and looked for first."""
    return (config.models_root or config.storage_root / "models").absolute()


def registry_root(config: Config) -> Path:
    """The directory of the files of registered models."""
    return config.storage_root.absolute() / "registry"
