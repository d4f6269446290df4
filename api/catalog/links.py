"""What links to versions are held against: which files are a model's own, and which models have aliases."""

from collections.abc import Collection

from sqlalchemy import select

from api.db.database import Database
from api.db.registry_tables import registry_aliases, registry_models, registry_versions


class LinkedVersions:
    """The versions of registered models, as who links them asks for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, model: str, sha256: str) -> bool:
        """Whether some version of a model is this file; False where there is no such model."""
        mine = select(registry_models.c.serial).where(registry_models.c.name == model).scalar_subquery()
        query = select(registry_versions.c.ordinal).where(registry_versions.c.model == mine)
        with self._database.read() as connection:
            return connection.scalars(query.where(registry_versions.c.sha256 == sha256).limit(1)).first() is not None

    def owners_of(self, sha256: str) -> list[str | None]:
        """The owners of the models of which some version is this file."""
        having = select(registry_versions.c.model).where(registry_versions.c.sha256 == sha256)
        query = select(registry_models.c.owner).where(registry_models.c.serial.in_(having))
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def others_named(self, names: Collection[str], model: str) -> list[str]:
        """The names, `model-alias`, that aliases of other models than this one have already."""
        name = registry_models.c.name + "-" + registry_aliases.c.alias
        query = select(name).where(registry_models.c.serial == registry_aliases.c.model)
        with self._database.read() as connection:
            return list(connection.scalars(query.where(name.in_(names), registry_models.c.name != model)))

    def aliased(self) -> list[str]:
        """The names of the models that have aliases."""
        query = select(registry_models.c.name).where(registry_models.c.serial.in_(select(registry_aliases.c.model)))
        with self._database.read() as connection:
            return list(connection.scalars(query))
