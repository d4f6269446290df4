"""Builds the parts of authentication and authorization."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from api.access.audit import AuditTrail
from api.access.audit_store import AuditStore
from api.access.authority import Authority, FindOwner
from api.access.first_key import FirstKey
from api.access.key_ring import KeyRing
from api.access.service import AccessService, UsageOf
from api.access.sign_ins import SignInStore
from api.access.store import CredentialStore
from api.config import Config
from api.db.database import Database
from api.domain.access import Quota, Role
from api.util.clock import Clock
from api.web.operations import ResourceKind

if TYPE_CHECKING:
    from api.access.oidc import OIDC
    from api.access.rates import RateLimits


class AccessParts:
    """Keys, authorization and audit. The constructor starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        owners: Mapping[ResourceKind, FindOwner],
        clock: Clock,
        usage_of: UsageOf | None,
    ) -> None:
        self._needs_keys = config.needs_keys
        self.rates = _create_rates(config, clock) if config.needs_keys else None
        self.store = CredentialStore(database)
        self.ring = KeyRing(self.store, clock, defaults=_default_quota(config))
        self.audit = AuditTrail(AuditStore(database), clock, config.audit_retention_days)
        self.authority = Authority(
            self.ring,
            owners,
            needs_keys=config.needs_keys,
            hides_others=config.visibility == "own",
        )
        self._first_key = FirstKey(self.store, clock, config.admin_key_file)
        self.service = AccessService(self.store, self.authority, clock, usage_of)
        self.oidc = _create_oidc(config, database, clock) if config.needs_keys and config.oidc_issuer else None

    def provide_first_key(self) -> str | None:
        """Return the administrator's key to show once; None if no keys are required or there is one already.

        Raises ConfigError, DatabaseUnavailable.
        """
        return self._first_key.provide() if self._needs_keys else None

    def start(self) -> None:
        """Start storing audit entries and, if keys are required, checking for changed keys."""
        self.audit.start()
        if self._needs_keys:
            self.ring.run_once()
            self.ring.start()

    def stop(self) -> None:
        """Stop checking keys, and store the waiting audit entries."""
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
    # Redis' client is large, and needed only where keys are required.
    from api.access.rates import RateLimits  # noqa: PLC0415

    return RateLimits(dict(config.rate_limits), clock, config.redis_url)


def _create_oidc(config: Config, database: Database, clock: Clock) -> "OIDC":
    # Authlib is large, and needed only with a provider.
    from api.access.oidc import OIDC, OIDCSettings  # noqa: PLC0415

    settings = OIDCSettings(
        issuer=config.oidc_issuer,
        client_id=config.oidc_client_id,
        secret_file=config.oidc_client_secret_file,
        scopes=config.oidc_scopes,
        user_claim=config.oidc_user_claim,
        groups_claim=config.oidc_groups_claim,
        roles=tuple((group, Role(role)) for group, role in config.oidc_roles),
    )
    return OIDC(settings, SignInStore(database), clock)
