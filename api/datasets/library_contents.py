"""Whether there is anything at all of datasets, models and uploads: what their loops have something to do for."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import exists, or_, select

from api.db.database import Database
from api.db.dataset_tables import datasets, uploads
from api.db.registry_tables import registry_models


class LibraryContents:
    """The rows of one database, and the directories of files that belong to them."""

    def __init__(self, database: Database, roots: Sequence[Path]) -> None:
        self._database = database
        self._roots = roots

    def has_any(self) -> bool:
        """Whether there is a row, or a file, be it one that nobody needs. Raises DatabaseUnavailable, OSError."""
        if any(True for _ in self._files()):
            return True
        query = select(or_(*(exists().select_from(table) for table in (datasets, uploads, registry_models))))
        with self._database.read() as connection:
            return bool(connection.scalar(query))

    def _files(self) -> Iterator[str]:
        for root in self._roots:
            if root.is_dir():
                for directory in os.scandir(root):
                    if directory.is_dir(follow_symlinks=False):
                        yield from os.listdir(directory)
