"""List directories of the server, so that people can choose a path.

Only the directories of datasets and models can be listed, and for administrators those of BROWSE_DIRECTORIES, since
administrators may add directories anyway. Hidden files and the service's own directories are left out, and links that
lead out of the directories, except to programs: the Python of an environment is such a link.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from api.access.readable_paths import ReadablePaths
from api.domain.access.principal import Permission, Principal
from api.domain.access.read_scope import ReadScope
from api.errors import DirectoryNotFound
from api.files.weights.scan import is_text
from api.system.views import EntryKind, FileEntry, FileListing
from api.util.files.reached_paths import UnknownTarget, is_below, open_directory, reach
from api.util.http.pagination import PageRequest, paginate_by_position

#: The most names that are read of one directory.
MOST_NAMES = 20_000


class FileBrowser:
    """Lists directories. `roots` returns those of everyone and, with True, those of administrators."""

    def __init__(self, paths: ReadablePaths, roots: Callable[[bool], tuple[Path, ...]], storage: Path) -> None:
        """`storage` is STORAGE_ROOT, of which nothing is listed, not even downloaded models."""
        self._paths = paths
        self._roots = roots
        self._storage = os.path.realpath(storage)

    def list(
        self, path: str | None, principal: Principal, scope: ReadScope, page: PageRequest, *, only_directories: bool
    ) -> FileListing:
        """Return a page of a directory's entries; without a path, the directories in which to start.

        Raises DirectoryNotFound.
        """
        permits = self._paths.lister(scope)
        is_administrator = principal.may(Permission.SYSTEM_WRITE)
        view = _View(
            self._roots(is_administrator),
            lambda real: not is_below(real, self._storage) and permits(real),
            shows_programs=is_administrator,
        )
        if path is None:
            found = [
                (each, each, True) for each in view.roots if not view.is_within_another(each) and os.path.isdir(each)
            ]
            return _show(None, None, found, False, page)
        real = view.reach(path)
        if real is None:
            raise DirectoryNotFound
        try:
            names, is_cut = _read_names(real)
        except OSError:
            raise DirectoryNotFound from None
        found = [one for name, kind in names if (one := view.look(real, name, kind)) is not None]
        if only_directories:
            found = [one for one in found if one[2]]
        found.sort(key=lambda one: (not one[2], one[0].casefold(), one[0]))
        above = os.path.dirname(real)
        return _show(real, above if view.reach(above) is not None else None, found, is_cut, page)


class _View:
    """What one reader may list."""

    def __init__(self, roots: tuple[Path, ...], may_list: Callable[[str], bool], *, shows_programs: bool) -> None:
        """`shows_programs`: links to programs are shown wherever they lead."""
        resolved = (_resolve(str(root)) for root in roots)
        self.roots = tuple(sorted({root for root in resolved if root is not None and may_list(root)}))
        self._may_list = may_list
        self._shows_programs = shows_programs

    def reach(self, path: str) -> str | None:
        """Return the resolved path if the reader may see it, else None."""
        real = _resolve(path)
        return real if real is not None and self._is_visible(real) and self._may_list(real) else None

    def _is_visible(self, real: str) -> bool:
        """Return whether a resolved path is a root, or below one without a hidden part."""
        return _is_shown_below(real, self.roots)

    def is_within_another(self, root: str) -> bool:
        """Return whether another root leads to this one, so that it needs no entry of its own."""
        return _is_shown_below(root, (other for other in self.roots if other != root))

    def look(self, directory: str, name: str, kind: EntryKind | None) -> tuple[str, str, bool] | None:
        """Return name, path and whether it is a directory; None for an entry that is neither, or not visible.

        `kind` None: it is a link.
        """
        path = f"{directory.rstrip('/')}/{name}"
        real = self.reach(path) if kind is None else path if self._may_list(path) else None
        if real is None:
            is_program = self._shows_programs and kind is None and _is_program(path)
            return (name, path, False) if is_program else None
        if kind is not None:
            return name, path, kind is EntryKind.DIRECTORY
        try:
            mode = os.stat(real, follow_symlinks=False).st_mode
        except OSError:
            return None
        return (name, path, stat.S_ISDIR(mode)) if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else None


def _resolve(path: str) -> str | None:
    try:
        return reach(path)
    except UnknownTarget:
        return None


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _is_shown_below(real: str, roots: Iterable[str]) -> bool:
    below = (real.removeprefix(root).split("/") for root in roots if is_below(real, root))
    return any(not any(part.startswith(".") for part in parts) for parts in below)


def _read_names(real: str) -> tuple[list[tuple[str, EntryKind | None]], bool]:
    """Return the names in a directory with their kinds (None: a link), and whether there are more. Raises OSError."""
    handle = open_directory(real)
    try:
        with os.scandir(handle) as entries:
            found = list(islice(_visible(entries), MOST_NAMES + 1))
    finally:
        os.close(handle)
    return found[:MOST_NAMES], len(found) > MOST_NAMES


def _visible(entries: "Iterator[os.DirEntry[str]]") -> Iterator[tuple[str, EntryKind | None]]:
    for entry in entries:
        # A name that is not valid text can be neither returned nor requested.
        if entry.name.startswith(".") or not is_text(entry.name):
            continue
        if entry.is_symlink():
            yield entry.name, None
        elif entry.is_dir(follow_symlinks=False):
            yield entry.name, EntryKind.DIRECTORY
        elif entry.is_file(follow_symlinks=False):
            yield entry.name, EntryKind.FILE


def _show(
    path: str | None, parent: str | None, found: list[tuple[str, str, bool]], is_cut: bool, page: PageRequest
) -> FileListing:
    shown = paginate_by_position(found, page).map(lambda row: _entry(*row))
    return FileListing(path, parent, shown.rows, is_cut, shown.pagination)


def _entry(name: str, path: str, is_directory: bool) -> FileEntry:
    try:
        status = os.stat(path)
    except OSError:
        status = None
    return FileEntry(
        name=name,
        path=path,
        kind=EntryKind.DIRECTORY if is_directory else EntryKind.FILE,
        size_bytes=None if is_directory or status is None else status.st_size,
        modified_at=None if status is None else datetime.fromtimestamp(status.st_mtime, UTC),
    )
