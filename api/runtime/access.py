"""The parts that decide who may do what, put together; a part of the composition root."""

from typing import TYPE_CHECKING

from api.config import Config
from api.models.access import Quota
from api.services.access.audit import AuditTrail
from api.services.access.authority import Authority
from api.services.access.key_ring import KeyRing
from api.services.access.operations import Belonging
from api.services.access.service import AccessService
from api.services.gpus.service import GPUService
from api.services.training.owners import TaskOwners
from api.storage.audit import AuditStore
from api.storage.database import Database
from api.storage.keys import CredentialStore
from api.utils.clock import Clock

if TYPE_CHECKING:
    from api.services.access.rates import RateLimits


class AccessParts:
    """The keys and the decisions. Building it starts nothing."""

    def __init__(self, config: Config, database: Database, owners: TaskOwners, gpus: GPUService, clock: Clock) -> None:
        self._needs_keys = config.needs_keys
        self.rates = _create_rates(config, clock) if config.needs_keys else None
        self.store = CredentialStore(database)
        self.ring = KeyRing(self.store, clock, defaults=_default_quota(config))
        self.audit = AuditTrail(AuditStore(database), clock, config.audit_retention_days)
        self.authority = Authority(
            self.ring,
            {
                Belonging.TASK: owners.of,
                Belonging.REGISTRATION: gpus.owner_of_task,
            },
            needs_keys=config.needs_keys,
            hides_others=config.visibility == "own",
        )
        self.service = AccessService(self.store, self.authority, clock)

    def start(self) -> None:
        """Starts to keep the audit, and to look for changed keys, where keys are asked for."""
        self.audit.start()
        if self._needs_keys:
            self.ring.run_once()
            self.ring.start()

    def stop(self) -> None:
        """Stops looking, and keeps what the audit has still to keep."""
        if self._needs_keys:
            self.ring.stop()
        self.audit.stop()


def _default_quota(config: Config) -> Quota:
    return Quota(
        gpus=config.quota_gpus,
        queued_tasks=config.quota_queued_tasks,
        gpu_hours_per_day=config.quota_gpu_hours_per_day,
        storage_gb=config.quota_storage_gb,
    )


def _create_rates(config: Config, clock: Clock) -> "RateLimits":
    # Loaded only where keys are asked for: with Redis' client it takes 6 MB.
    from api.services.access.rates import RateLimits  # noqa: PLC0415

    return RateLimits(dict(config.rate_limits), clock, config.redis_url)
