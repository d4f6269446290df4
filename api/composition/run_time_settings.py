"""Build the settings that can be changed without a restart, and apply changes to the parts that use them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from api.access.readable_paths import ReadablePaths
from api.alerts.delivery.notifiers.notifier import AddressRefused
from api.composition.access import path_rules
from api.composition.alerts import AlertParts, create_sealer
from api.composition.datasets import DatasetParts
from api.composition.execution import hang_limits, stop_times
from api.composition.library import Library
from api.composition.models import example_of
from api.composition.preprocessing import caption_endpoint
from api.composition.roots import model_directories
from api.composition.training import TrainingParts, retention_default
from api.config import Config
from api.db.database import Database
from api.system.settings_service import RunTimeSettings
from api.system.settings_store import SettingsStore
from api.trainers.diffusion_pipe.installation.check import InstallationCheck, TrainerLocation
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.training.queue.closures import NeighbourRule
from api.util.clock import Clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeableParts:
    """The parts whose settings can change while they run. Each reads its value whenever it needs it."""

    environment: Config
    database: Database
    paths: ReadablePaths
    diffusion_pipe: DiffusionPipe
    installation: InstallationCheck
    datasets: DatasetParts
    library: Library
    training: TrainingParts
    alerts: AlertParts

    def apply(self, config: Config) -> None:
        """Give every part its present settings."""
        self.paths.rules = path_rules(config, self.database)
        self.datasets.registered.set_roots(config.dataset_directories, config.browse_roots)
        self.library.catalog.service.local.roots = model_directories(config)
        self.library.catalog.service.example = example_of(config)
        self.library.datasets.captioning.endpoint = caption_endpoint(config)
        self._locate_trainer(config)
        training = self.training
        training.planner.rules = replace(training.planner.rules, max_concurrent=config.max_concurrent_tasks)
        training.stopping.times = stop_times(config)
        training.checks.hang_limits = hang_limits(config)
        training.services.retention.default = retention_default(config)
        training.closures.rule = NeighbourRule(config.neighbour_rule)
        training.neighbours.idle_minutes = config.neighbour_idle_minutes
        training.loop.wake()
        self.alerts.courier.public_url = config.public_url
        try:
            is_stored = config.notify_url != self.environment.notify_url
            self.alerts.environment.change(config.notify_url, is_stored=is_stored)
        except AddressRefused as error:
            logger.warning("the stored NOTIFY_URL cannot be used", extra={"problem": str(error)})
        logging.getLogger().setLevel(config.log_level)

    def _locate_trainer(self, config: Config) -> None:
        root, python = config.diffusion_pipe_root, config.diffusion_pipe_python
        known = self.installation.last
        if (None if root is None else str(root.absolute()), python) != (known.root, known.interpreter):
            self.diffusion_pipe.locate(root, python)
            self.installation.locate(TrainerLocation(root, python))


def build_run_time_settings(parts: ChangeableParts, clock: Clock) -> RunTimeSettings:
    """Build the settings without reading them."""
    config = parts.environment
    settings = RunTimeSettings(
        config,
        SettingsStore(parts.database),
        create_sealer(config),
        parts.paths,
        clock,
        _checker(parts.alerts),
        parts.installation.require_python,
    )
    settings.subscribe(parts.apply)
    return settings


def browse_roots(settings: RunTimeSettings, is_administrator: bool) -> tuple[Path, ...]:
    """Return the directories that the file browser shows to administrators or to others."""
    config = settings.current
    shown = (*model_directories(config), *config.dataset_directories)
    return (*shown, *config.browse_roots) if is_administrator else shown


def _checker(alerts: AlertParts) -> Callable[[str], None]:
    def check(url: str) -> None:
        try:
            alerts.environment.check(url)
        except AddressRefused as error:
            raise ValueError(f"cannot be used: the address {error}") from None

    return check
