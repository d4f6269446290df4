"""The files of registered directories, as they were when the newest version was made."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select

from api.db.database import Database
from api.db.dataset_tables import registered_files
from api.util.batches import in_batches

#: Rows per statement.
_BATCH = 1000

_COLUMNS = [column for column in registered_files.c if column.name != "dataset"]


@dataclass(frozen=True, slots=True)
class RegisteredFile:
    """A file below a registered directory. A file with the same size, time and inode need not be read again."""

    path: str
    size_bytes: int
    modified_ns: int
    inode: int
    sha256: str


class RegisteredFileStore:
    """Known files by the serial number of their dataset."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, dataset: int, path: str) -> RegisteredFile | None:
        """Return the known file at this path, or None."""
        is_it = (registered_files.c.dataset == dataset) & (registered_files.c.path == path)
        with self._database.read() as connection:
            row = connection.execute(select(*_COLUMNS).where(is_it)).one_or_none()
        return None if row is None else RegisteredFile(*row)

    def of(self, dataset: int) -> dict[str, RegisteredFile]:
        """Return the known files of a dataset by path."""
        with self._database.read() as connection:
            rows = connection.execute(select(*_COLUMNS).where(registered_files.c.dataset == dataset))
            return {row.path: RegisteredFile(*row) for row in rows}

    def replace(self, dataset: int, files: Iterable[RegisteredFile]) -> None:
        """Replace the known files of a dataset."""
        rows = [{"dataset": dataset, **asdict(file)} for file in files]
        with self._database.write(is_audited=False) as connection:
            connection.execute(delete(registered_files).where(registered_files.c.dataset == dataset))
            for batch in in_batches(rows, _BATCH):
                connection.execute(insert(registered_files), batch)
