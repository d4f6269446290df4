"""The disk use of downloads below MODELS_ROOT, and the quota that their owners have left."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import orjson

from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.files.task_files import task_files
from api.jobs.downloads.allowance import ALLOWANCE, INCOMING, allowance_content
from api.jobs.downloads.request import STATE
from api.util.files.foreign_files import read, write

#: Path components of a task's output directory, from its end, in which symbolic links are not followed.
_LEVELS = 2

_PART = re.compile(r"[0-9a-f]{64}")


def find_downloaded(storage_root: Path, models_root: Path, task_id: str) -> dict[str, int]:
    """Return the bytes on disk of a download's complete and incomplete files, by path."""
    found: dict[str, int] = {}
    if not task_id.startswith(f"{TASK_ID_KINDS[TaskType.DOWNLOAD]}_"):
        return found
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        for file in orjson.loads(read(str(task_files(storage_root, task_id).output / STATE), levels=_LEVELS))["files"]:
            path, part = Path(file["path"] or ""), file["part"]
            if not path.is_relative_to(models_root):
                if not _PART.fullmatch(part):
                    continue
                path = models_root / INCOMING / f"{part}.part"
            with suppress(OSError):
                found[str(path)] = 512 * path.lstat().st_blocks
    return found


def write_allowances(
    storage_root: Path, downloads: Iterable[tuple[str, str]], storage_left: Callable[[str], int | None]
) -> None:
    """Write, for each of these downloads by id and owner, the bytes that the owner's quota has left."""
    for task_id, owner in downloads:
        bytes_left = storage_left(owner)
        if bytes_left is not None:
            with suppress(OSError):  # deleted in the meantime
                path = task_files(storage_root, task_id).output / ALLOWANCE
                write(str(path), allowance_content(bytes_left), levels=_LEVELS)
