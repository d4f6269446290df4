"""Builds the rules of protected and readable paths from the settings."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

from api.access.readable_paths import PathAccess, PathOwners, PathRule, ReadablePaths
from api.catalog.links import LinkedVersions
from api.composition.roots import datasets_root, models_root, registry_root
from api.config import Config, cache_roots, child_environment
from api.datasets.store import DatasetStore
from api.db.database import Database
from api.domain.read_scope import ReadScope
from api.files.blobs import BlobStore
from api.files.task_files import tasks_directory
from api.training.store import TaskStore


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
    return ReadablePaths([*_closed(config, database), *_readable(config)], owners, scope_of_owner)


def _closed(config: Config, database: Database) -> Iterable[PathRule]:
    """Yield the service's own directories, and every file of its settings: keys, tokens, `.env`, the database."""
    files = [getattr(config, setting.name) for setting in fields(Config) if setting.name.endswith("_file")]
    files.append(Path(".env").absolute())
    if database.is_sqlite and database.url.database is not None:
        files += [Path(database.url.database + ending) for ending in ("", "-wal", "-shm", "-journal")]
    for path in (config.storage_root, datasets_root(config), *files):
        if path is not None:
            yield PathRule(path.absolute(), PathAccess.CLOSED)


def _readable(config: Config) -> Iterable[PathRule]:
    yield PathRule(tasks_directory(config.storage_root), PathAccess.TASKS)
    yield PathRule(registry_root(config) / "blobs", PathAccess.REGISTERED)
    if config.comfyui_loras is not None:
        yield PathRule(config.comfyui_loras.absolute(), PathAccess.LINKED)
    for path in (models_root(config), *config.models_directories):
        yield PathRule(path.absolute(), PathAccess.MODELS)
    for path in (*config.dataset_directories, *cache_roots(config, child_environment())):
        yield PathRule(path.absolute(), PathAccess.OPEN)
