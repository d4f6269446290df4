"""Database queries for ComfyUI's links: files of a model's versions, and models with aliases."""

from collections.abc import Collection

from sqlalchemy import select

from api.db.database import Database
from api.db.registry_tables import registry_aliases, registry_models, registry_versions


class LinkedVersions:
    """Queries over the versions of saved models for `ComfyLinks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, model: str, sha256: str) -> bool:
        """Return whether a version of a model is this file; False for an unknown model."""
        mine = select(registry_models.c.serial).where(registry_models.c.name == model).scalar_subquery()
        query = select(registry_versions.c.ordinal).where(registry_versions.c.model == mine)
        with self._database.read() as connection:
            return connection.scalars(query.where(registry_versions.c.sha256 == sha256).limit(1)).first() is not None

    def owners_of(self, sha256: str) -> list[str | None]:
        """Return the owners of the models that have this file as a version."""
        having = select(registry_versions.c.model).where(registry_versions.c.sha256 == sha256)
        query = select(registry_models.c.owner).where(registry_models.c.serial.in_(having))
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def others_named(self, names: Collection[str], model: str) -> list[str]:
        """Return those of the names, `model-alias`, that aliases of other models have."""
        name = registry_models.c.name + "-" + registry_aliases.c.alias
        query = select(name).where(registry_models.c.serial == registry_aliases.c.model)
        with self._database.read() as connection:
            return list(connection.scalars(query.where(name.in_(names), registry_models.c.name != model)))

    def aliased(self) -> list[str]:
        """Return the names of the models that have aliases."""
        query = select(registry_models.c.name).where(registry_models.c.serial.in_(select(registry_aliases.c.model)))
        with self._database.read() as connection:
            return list(connection.scalars(query))
