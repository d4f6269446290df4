"""Saved models, their versions and aliases in the database, and the blobs that they need."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, cast, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from api.catalog.registry.models import LATEST, ModelVersion, NewModelVersion, RegisteredModel
from api.catalog.registry.sample_store import bytes_of_samples, copy_samples, needed_by_samples, remove_samples
from api.db.database import Database
from api.db.dataset_tables import blob_store
from api.db.insertion import insert_missing
from api.db.registry_tables import registry_aliases, registry_models, registry_samples, registry_versions
from api.db.rows import clean, dump_fields, read_fields, select_page, to_seconds
from api.db.tables import tasks
from api.domain.access.audit import note_change
from api.domain.tasks.training import UNFINISHED
from api.errors import ModelExists, ModelVersionNotFound, RegisteredModelNotFound, VersionInUse
from api.util.http.pagination import Page, PageRequest

#: The id of the library's row in the table of blob stores.
_STORE = 2

#: The limit of a file name in characters, below the file systems' limit of 255 bytes.
_MAX_FILE_NAME = 200

#: Versions, each with the number of its samples.
_VERSIONS = select(
    registry_versions,
    select(func.count())
    .where(
        registry_samples.c.model == registry_versions.c.model, registry_samples.c.ordinal == registry_versions.c.ordinal
    )
    .scalar_subquery()
    .label("samples"),
)


class RegistryStore:
    """The tables of saved models. Each change is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- models --------------------------------------------------------------------------------------------------------

    def ensure(self, name: str, owner: str | None, now: datetime) -> RegisteredModel:
        """Return the model with this name; create it if it is missing. Raises ModelExists after a race."""
        row: dict[str, Any] = {
            "name": name,
            "owner": owner,
            "tags": [],
            "created_at": to_seconds(now),
            "updated_at": to_seconds(now),
            "last_ordinal": 0,
        }
        try:
            with self._database.write(is_audited=False) as connection:
                if connection.scalar(select(registry_models.c.serial).where(registry_models.c.name == name)) is None:
                    connection.execute(insert(registry_models).values(row))
        except IntegrityError:
            raise ModelExists(f'A model named "{name}" already exists.') from None
        return self.get(name)

    def get(self, name: str) -> RegisteredModel:
        """Return the model with this name. Raises RegisteredModelNotFound."""
        with self._database.read() as connection:
            return _complete(connection, [_read(_find(connection, name))])[0]

    def page(
        self,
        request: PageRequest,
        *,
        search: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        seen_by: str | None = None,
    ) -> Page[RegisteredModel]:
        """Return models, newest first. `seen_by` restricts them to the models of one user; None: no restriction."""
        query = select(registry_models).where(*_conditions(search, owner, tag, seen_by))
        with self._database.read() as connection:
            page = select_page(connection, query, registry_models.c.serial, request, _read)
            return Page(tuple(_complete(connection, page.rows)), page.pagination)

    def change(self, name: str, changes: Mapping[str, Any], now: datetime) -> RegisteredModel:
        """Change name, description or tags. Raises RegisteredModelNotFound, ModelExists."""
        values = {key: clean(value) if isinstance(value, str) else value for key, value in changes.items()}
        try:
            with self._database.write() as connection:
                before = _read(_find(connection, name))
                note_change(about=name, before={key: getattr(before, key) for key in changes}, after=dict(changes))
                is_it = registry_models.c.serial == before.serial
                connection.execute(update(registry_models).where(is_it).values(updated_at=to_seconds(now), **values))
        except IntegrityError:
            raise ModelExists(f'A model named "{changes.get("name")}" already exists.') from None
        return self.get(str(changes.get("name") or name))

    def delete(self, name: str) -> None:
        """Delete a model with all its versions. Raises RegisteredModelNotFound, VersionInUse."""
        with self._database.write() as connection:
            row = _find(connection, name, locks=True)
            mine = registry_versions.c.model == row.serial
            aliases = _aliases(connection, [row.serial]).get(row.serial, {})
            if aliases:
                raise VersionInUse(f"{name} has aliases. Remove them first.", data={"aliases": sorted(aliases)})
            for sha256 in connection.scalars(select(registry_versions.c.sha256).where(mine)):
                _require_unused(connection, name, sha256)
            note_change(about=name, before={"owner": row.owner, "versions": row.last_ordinal})
            connection.execute(delete(registry_versions).where(mine))
            remove_samples(connection, row.serial)
            connection.execute(delete(registry_models).where(registry_models.c.serial == row.serial))

    # -- versions ------------------------------------------------------------------------------------------------------

    def add_version(self, name: str, new: NewModelVersion, aliases: Sequence[str], now: datetime) -> ModelVersion:
        """Add the next version and move these aliases to it. Raises RegisteredModelNotFound."""
        with self._database.write() as connection:
            row = _find(connection, name, locks=True)
            is_it = registry_models.c.serial == row.serial
            ordinal = row.last_ordinal + 1
            values = {"last_ordinal": ordinal, "updated_at": to_seconds(now)}
            connection.execute(update(registry_models).where(is_it).values(values))
            stem = "-".join(part for part in (name, f"v{ordinal}", new.stem) if part)
            version = dump_fields(
                new,
                registry_versions,
                model=row.serial,
                ordinal=ordinal,
                created_at=to_seconds(now),
                file_name=f"{stem[:_MAX_FILE_NAME]}{new.ending}",
            )
            connection.execute(insert(registry_versions).values(version))
            if new.samples_of is not None:
                copy_samples(connection, row.serial, new.samples_of, ordinal)
            for alias in aliases:
                _set_alias(connection, row.serial, alias, ordinal)
            note_change(about=name, after={"version": ordinal, "sha256": new.sha256, "aliases": list(aliases)})
        return self.get_version(name, str(ordinal))

    def find_uploaded(self, name: str, upload_id: str, recent: int) -> int | None:
        """Return the number of the version that an upload became, among a model's newest versions; else None."""
        with self._database.read() as connection:
            query = (
                select(registry_versions.c.ordinal, registry_versions.c.origin)
                .join(registry_models, registry_models.c.serial == registry_versions.c.model)
                .where(registry_models.c.name == name)
                .order_by(registry_versions.c.ordinal.desc())
                .limit(recent)
            )
            return next(
                (row.ordinal for row in connection.execute(query) if row.origin.get("upload_id") == upload_id), None
            )

    def find_file(self, sha256: str) -> tuple[str, int] | None:
        """Return the model and the number of the newest version with this content; None without one."""
        query = (
            select(registry_models.c.name, registry_versions.c.ordinal)
            .join(registry_versions, registry_models.c.serial == registry_versions.c.model)
            .where(registry_versions.c.sha256 == sha256)
            .order_by(registry_versions.c.created_at.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.name, row.ordinal)

    def stored_by(self) -> dict[str, int]:
        """Return the bytes of each user's versions and samples. Files that users share count for each of them."""
        total = func.sum(registry_versions.c.size_bytes)
        query = (
            select(registry_models.c.owner, total.label("bytes"))
            .join(registry_versions, registry_models.c.serial == registry_versions.c.model)
            .where(registry_models.c.owner.is_not(None))
            .group_by(registry_models.c.owner)
        )
        with self._database.read() as connection:
            samples = Counter(bytes_of_samples(connection))
            return dict(Counter({row.owner: int(row.bytes) for row in connection.execute(query)}) + samples)

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return a version by number, alias or `latest`. Raises RegisteredModelNotFound, ModelVersionNotFound."""
        with self._database.read() as connection:
            model = _find(connection, name)
            row = _find_version(connection, model.serial, name, version)
            return _read_version(row, _aliases(connection, [model.serial]).get(model.serial, {}))

    def latest_of(self, models: Iterable[RegisteredModel]) -> dict[int, ModelVersion]:
        """Return the newest version of each of these models that has one, by the model's serial."""
        wanted = {model.serial: model for model in models if model.latest is not None}
        pairs = [
            (registry_versions.c.model == serial) & (registry_versions.c.ordinal == model.latest)
            for serial, model in wanted.items()
        ]
        if not pairs:
            return {}
        with self._database.read() as connection:
            rows = connection.execute(_VERSIONS.where(or_(*pairs)))
            return {row.model: _read_version(row, wanted[row.model].aliases) for row in rows}

    def versions(self, name: str, request: PageRequest) -> Page[ModelVersion]:
        """Return versions, newest first."""
        with self._database.read() as connection:
            model = _find(connection, name).serial
            query, ordinal = _VERSIONS.where(registry_versions.c.model == model), registry_versions.c.ordinal
            aliases = _aliases(connection, [model]).get(model, {})
            return select_page(connection, query, ordinal, request, lambda row: _read_version(row, aliases))

    def change_version(
        self, name: str, version: str, changes: Mapping[str, Any], aliases: Sequence[str] | None, now: datetime
    ) -> ModelVersion:
        """Change notes or tags, and replace the aliases unless None; aliases move from other versions.

        Raises RegisteredModelNotFound, ModelVersionNotFound.
        """
        with self._database.write() as connection:
            model = _find(connection, name, locks=True)
            row = _find_version(connection, model.serial, name, version)
            before = _read_version(row, _aliases(connection, [model.serial]).get(model.serial, {}))
            if changes:
                is_it = (registry_versions.c.model == model.serial) & (registry_versions.c.ordinal == row.ordinal)
                connection.execute(update(registry_versions).where(is_it).values(**changes))
            if aliases is not None:
                _drop_aliases(connection, model.serial, registry_aliases.c.ordinal == row.ordinal)
                for alias in aliases:
                    _set_alias(connection, model.serial, alias, row.ordinal)
            after = {**changes, **({} if aliases is None else {"aliases": list(aliases)})}
            note_change(about=name, before={"version": row.ordinal, "aliases": before.aliases}, after=after)
            is_model = registry_models.c.serial == model.serial
            connection.execute(update(registry_models).where(is_model).values(updated_at=to_seconds(now)))
        return self.get_version(name, str(row.ordinal))

    def delete_version(self, name: str, version: str) -> int:
        """Delete a version and return its number. Raises VersionInUse while an alias or a task needs it."""
        with self._database.write() as connection:
            model = _find(connection, name, locks=True)
            row = _find_version(connection, model.serial, name, version)
            found = _read_version(row, _aliases(connection, [model.serial]).get(model.serial, {}))
            if found.aliases:
                data = {"aliases": list(found.aliases)}
                raise VersionInUse(f"{name} v{row.ordinal} has aliases. Remove them first.", data=data)
            _require_unused(connection, f"{name} v{row.ordinal}", row.sha256)
            note_change(about=name, before={"version": row.ordinal, "sha256": row.sha256})
            is_it = (registry_versions.c.model == model.serial) & (registry_versions.c.ordinal == row.ordinal)
            connection.execute(delete(registry_versions).where(is_it))
            remove_samples(connection, model.serial, row.ordinal)
        return int(row.ordinal)

    def belongs_with(self, store: str) -> bool:
        """Return whether a blob store belongs to this database. The first one to call becomes its store."""
        mine = select(blob_store.c.store).where(blob_store.c.id == _STORE)
        with self._database.read() as connection:
            known = connection.scalar(mine)
        if known is None:
            with self._database.write(is_audited=False) as connection:
                insert_missing(connection, blob_store, [{"id": _STORE, "store": store}])
                known = connection.scalar(mine)
        return known == store

    def needed(self, hashes: Sequence[str]) -> set[str]:
        """Return those of these blobs that are versions or samples."""
        if not hashes:
            return set()
        with self._database.read() as connection:
            query = select(registry_versions.c.sha256).where(registry_versions.c.sha256.in_(hashes))
            return set(connection.scalars(query)) | needed_by_samples(connection, hashes)


def _find(connection: Connection, name: str, *, locks: bool = False) -> Row[Any]:
    query = select(registry_models).where(registry_models.c.name == name)
    row = connection.execute(query.with_for_update() if locks else query).one_or_none()
    if row is None:
        raise RegisteredModelNotFound.named(name)
    return row


def _find_version(connection: Connection, serial: int, name: str, version: str) -> Row[Any]:
    mine = registry_versions.c.model == serial
    query = _VERSIONS.where(mine)
    if version.isascii() and version.isdigit() and len(version) < 10:
        query = query.where(registry_versions.c.ordinal == int(version))
    elif version == LATEST:
        query = query.order_by(registry_versions.c.ordinal.desc()).limit(1)
    else:
        alias = (registry_aliases.c.model == serial) & (registry_aliases.c.alias == version)
        query = query.where(
            registry_versions.c.ordinal == select(registry_aliases.c.ordinal).where(alias).scalar_subquery()
        )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ModelVersionNotFound(f"{name} has no version {version[:60]}.")
    return row


def _require_unused(connection: Connection, shown: str, sha256: str) -> None:
    """Raise VersionInUse for a blob that the request of an unfinished task names."""
    needs = tasks.c.status.in_(UNFINISHED) & cast(tasks.c.request, Text).contains(sha256)
    users = list(connection.scalars(select(tasks.c.task_id).where(needs).limit(20)))
    if users:
        raise VersionInUse(f"{shown} is used by tasks that have not finished.", data={"tasks": users})


def _aliases(connection: Connection, serials: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return the version numbers by alias, by the model's serial."""
    found: dict[int, dict[str, int]] = {}
    query = select(registry_aliases).where(registry_aliases.c.model.in_(serials)).order_by(registry_aliases.c.alias)
    for row in connection.execute(query):
        found.setdefault(row.model, {})[row.alias] = row.ordinal
    return found


def _set_alias(connection: Connection, serial: int, alias: str, ordinal: int) -> None:
    _drop_aliases(connection, serial, registry_aliases.c.alias == alias)
    connection.execute(insert(registry_aliases).values(model=serial, alias=alias, ordinal=ordinal))


def _drop_aliases(connection: Connection, serial: int, which: ColumnElement[bool]) -> None:
    connection.execute(delete(registry_aliases).where(registry_aliases.c.model == serial, which))


def _complete(connection: Connection, models: Sequence[RegisteredModel]) -> list[RegisteredModel]:
    """Return the models with their version counts and aliases, read by two statements for all of them."""
    serials = [model.serial for model in models]
    total, newest = func.count().label("total"), func.max(registry_versions.c.ordinal).label("newest")
    query = select(registry_versions.c.model, total, newest).where(registry_versions.c.model.in_(serials))
    counted = {row.model: row for row in connection.execute(query.group_by(registry_versions.c.model))}
    aliases = _aliases(connection, serials)
    return [
        replace(
            model,
            versions=counted[model.serial].total if model.serial in counted else 0,
            latest=counted[model.serial].newest if model.serial in counted else None,
            aliases=aliases.get(model.serial, {}),
        )
        for model in models
    ]


def _read(row: Row[Any]) -> RegisteredModel:
    return read_fields(RegisteredModel, row, latest=None)


def _read_version(row: Row[Any], aliases: Mapping[str, int]) -> ModelVersion:
    mine = tuple(sorted(alias for alias, ordinal in aliases.items() if ordinal == row.ordinal))
    return read_fields(ModelVersion, row, aliases=mine)


def _conditions(
    search: str | None, owner: str | None, tag: str | None, seen_by: str | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if owner is not None:
        conditions.append(registry_models.c.owner == owner)
    if seen_by is not None:
        conditions.append(registry_models.c.owner == seen_by)
    if tag is not None:
        # Tags contain no quotation marks, so this matches whole tags only.
        conditions.append(cast(registry_models.c.tags, Text).contains(f'"{tag}"', autoescape=True))
    if search:
        columns = (registry_models.c.name, registry_models.c.description)
        conditions.append(or_(*(column.icontains(search, autoescape=True) for column in columns)))
    return conditions
