"""The parts that answer about models, put together; a part of the composition root."""

from pathlib import Path

from api.config import Config
from api.services.catalog.service import CatalogService
from api.trainers.diffusion_pipe.catalog.presets import PRESETS
from api.trainers.diffusion_pipe.catalog.table import CATALOG
from api.trainers.diffusion_pipe.model_types import MODELS
from api.weights.scan import LocalModels


def models_root(config: Config) -> Path:
    """Where models are downloaded to, and looked for first."""
    return (config.models_root or config.storage_root / "models").absolute()


def build_catalog(config: Config) -> CatalogService:
    """Builds it; looks at nothing yet."""
    root = models_root(config)
    trainer = config.diffusion_pipe_root
    return CatalogService(
        LocalModels((root, *config.models_directories)),
        CATALOG,
        PRESETS,
        {name: facts.encoder_type for name, facts in MODELS.items()},
        root,
        config.storage_root.absolute(),
        None if trainer is None else trainer.absolute() / "examples" / "main_example.toml",
    )
