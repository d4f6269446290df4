"""Build the parts of authentication and authorization."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.access.audit import AuditTrail
from api.access.audit_store import AuditStore
from api.access.authority import Authority, FindOwner
from api.access.first_key import FirstKey
from api.access.key_ring import KeyRing
from api.access.readable_paths import PathAccess, PathOwners, PathRule, ReadablePaths
from api.access.service import AccessService, UsageOf
from api.access.store import CredentialStore, SignInStore
from api.composition.roots import datasets_root, model_directories, registry_root
from api.config import SETTINGS, Config, cache_roots, child_environment
from api.datasets.records.dataset_store import DatasetStore
from api.db.database import Database
from api.domain.access.principal import Quota, Role
from api.domain.access.read_scope import ReadScope
from api.files.blobs import BlobStore
from api.files.task_files import tasks_directory
from api.samples.links.store import LinkedVersions
from api.training.records.task_store import TaskStore
from api.util.clock import Clock
from api.web.operations import ResourceKind

if TYPE_CHECKING:
    from api.access.oidc import OIDC
    from api.access.rates import RateLimits


@dataclass(frozen=True, slots=True)
class AccessServices:
    """The services of access that routes call."""

    service: AccessService
    oidc: "OIDC | None"  #: None: no provider is configured
    audit: AuditTrail


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
        self._clock = clock
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

    def services(self) -> AccessServices:
        """Return what routes call."""
        return AccessServices(self.service, self.oidc, self.audit)

    def count_valid_keys(self) -> int:
        """Return the number of keys that neither were revoked nor have expired."""
        now = self._clock.now()
        return sum(key.holds(now) for key in self.store.list())

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


def build_readable_paths(
    config: Config, database: Database, scope_of_owner: Callable[[str | None], ReadScope]
) -> ReadablePaths:
    """Build the rules. This reads no files."""
    blobs, tasks = BlobStore(registry_root(config)), TaskStore(database)

    def registered_directories() -> list[tuple[str, str | None]]:
        return [(found.directory or "", found.owner) for found in DatasetStore(database).registered()]

    owners = PathOwners(
        of_task=lambda task_id: tasks.get_summary(task_id).owner,
        of_weights=LinkedVersions(database).owners_of,
        hash_of_link=blobs.hash_of,
        registered_directories=registered_directories,
    )
    return ReadablePaths(path_rules(config, database), owners, scope_of_owner)


def path_rules(config: Config, database: Database) -> tuple[PathRule, ...]:
    """Return which directories may be read, and what in them."""
    return (*_closed(config, database), *_readable(config))


def _closed(config: Config, database: Database) -> Iterable[PathRule]:
    """Yield the service's own directories, and every file of its settings: keys, tokens, `.env`, the database."""
    files = [getattr(config, setting.name) for setting in SETTINGS.values() if setting.name.endswith("_file")]
    files.append(Path(".env").absolute())
    if database.is_sqlite and database.url.database is not None:
        files += [Path(database.url.database + ending) for ending in ("", "-wal", "-shm", "-journal")]
    for path in (config.storage_root, datasets_root(config), *files):
        if path is not None:
            yield PathRule(path.absolute(), PathAccess.CLOSED)


def _readable(config: Config) -> Iterable[PathRule]:
    yield PathRule(tasks_directory(config.storage_root), PathAccess.TASKS)
    yield PathRule(registry_root(config) / "blobs", PathAccess.REGISTERED)
    for path in config.comfyui_loras:
        yield PathRule(path.absolute(), PathAccess.LINKED)
    for path in model_directories(config):
        yield PathRule(path, PathAccess.MODELS)
    for path in (*config.dataset_directories, *cache_roots(config, child_environment())):
        yield PathRule(path.absolute(), PathAccess.OPEN)
