"""Where files of datasets and of registered models lie."""

from pathlib import Path

from api.config import Config


def datasets_root(config: Config) -> Path:
    """The directory of the files of datasets."""
    return (config.datasets_root or config.storage_root / "datasets").absolute()


def registry_root(config: Config) -> Path:
    """The directory of the files of registered models."""
    return config.storage_root.absolute() / "registry"
