"""Which files a user may read by naming their paths. Every path of a request is resolved and judged here, in one place.

A path is resolved as the trainer resolves it: relative to the trainer's working directory, through links and `..`. The
place that it leads to decides, not its text. Files outside of the places below are left to the permissions of the host.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from api.domain.sight import Sight
from api.domain.training import TrainingRequest
from api.errors import Mistake, TaskNotFound
from api.trainers.request_texts import RequestText, list_texts, parse, texts_in
from api.trainers.toml_text import MAX_CHARACTERS
from api.trainers.trainer import OpensPaths, Trainer
from api.util.reached_paths import UnknownTarget, reach
from api.util.regular_files import open_regular

#: The one code of a refusal. It is the same whether the file exists or not.
NOT_PERMITTED = "path_not_permitted"
_MESSAGE = "This path leads to files of the service or of another user."
_REMEDY = 'Name a dataset ("dataset": "name"), the output of a task of yours, or files elsewhere.'

#: The directory of a task, below its own, that may be read: the others hold its secrets, its environment and its log.
_OUTPUT = "output"


class PlaceKind(IntEnum):
    """What may be read in a place. Of two kinds for one directory the lower one counts."""

    SHUT = 0  #: nothing
    TASKS = 1  #: the output of tasks that the reader sees
    REGISTERED = 2  #: files of registered models that the reader sees, by their hash
    LINKED = 3  #: links to files of registered models; what others have put there is for everybody
    MODELS = 4  #: everything
    OPEN = 5  #: everything, by a training


@dataclass(frozen=True, slots=True)
class PathRule:
    """A directory, or a file, with what may be read in it."""

    path: Path
    kind: PlaceKind


@dataclass(frozen=True, slots=True)
class PathOwners:
    """Finds the owners of what lies in places; each may ask the database."""

    of_task: Callable[[str], str | None]  #: raises TaskNotFound
    of_weights: Callable[[str], Collection[str | None]]  #: of the registered versions with this hash
    hash_of_link: Callable[[Path], str | None]  #: of the stored file that another name is of
    registered_directories: Callable[[], Iterable[tuple[str, str | None]]]  #: datasets in place, with their owners


class ReadablePaths:
    """Judges paths for a reader. It opens nothing."""

    def __init__(
        self, places: Sequence[PathRule], owners: PathOwners, sight_of_owner: Callable[[str | None], Sight]
    ) -> None:
        """`sight_of_owner` returns how far a task's owner sees at present."""
        self._places = tuple(places)
        self._owners = owners
        self.sight_of_owner = sight_of_owner

    def check(self, texts: Iterable[RequestText], base: Path | None, sight: Sight) -> list[Mistake]:
        """Return a mistake for each text that leads to where the reader may not read. `base` is the trainer's working
        directory; None: the trainer is not set up, and opens no relative path.
        """
        judge = _Judge(self._places, self._owners, sight, base)
        refused = dict.fromkeys(each.pointer for each in texts if not judge.may_train_on(each))
        return [Mistake(at, _MESSAGE, _REMEDY, NOT_PERMITTED) for at in refused]

    def check_request(self, request: TrainingRequest, trainer: Trainer, attempt: Path, sight: Sight) -> list[Mistake]:
        """Return a mistake for each text of a request that leads to where the reader may not read, or that names a file
        of a dataset in which such a text stands. `attempt` is the directory of the attempt.
        """
        if not isinstance(trainer, OpensPaths):
            return []
        base = trainer.working_directory(attempt)
        # A file is opened only when its own path is permitted.
        return self.check(list_texts(request), base, sight) or self.check(
            _texts_in_files(trainer.list_dataset_files(request), base), base, sight
        )

    def find_examined(self, text: str, sight: Sight) -> Path | None:
        """Return the file or directory without links that a reader may have examined as weights; None for any other
        path. Who does not see everything is confined to model directories, and to what belongs to them.
        """
        judge = _Judge(self._places, self._owners, sight, None)
        real = judge.reach(text)
        return Path(real) if real is not None and judge.may_examine(real) else None

    def may_register(self, real: Path, sight: Sight) -> bool:
        """Whether a directory may be registered as a dataset: everything below it would be read."""
        judge = _Judge(self._places, self._owners, sight, None)
        return judge.may_read(str(real), is_of_dataset=True) and not judge.holds_protected(str(real))


class _Judge:
    """Judges for one reader, with places as they are now."""

    def __init__(self, places: Sequence[PathRule], owners: PathOwners, sight: Sight, base: Path | None) -> None:
        self._places = {}
        for place in sorted(places, key=lambda each: -each.kind):
            self._places[os.path.realpath(place.path)] = place.kind
        if base is not None:
            self._places.setdefault(os.path.realpath(base), PlaceKind.OPEN)
        self._owners = owners
        self._sight = sight
        self._base = None if base is None else str(base)
        self._others: list[str] | None = None

    def reach(self, text: str) -> str | None:
        """Return what a path leads to; None where that cannot be told, or is nothing."""
        try:
            return reach(text, self._base)
        except UnknownTarget:
            return None

    def may_train_on(self, text: RequestText) -> bool:
        try:
            real = reach(text.text, self._base)
        except UnknownTarget:
            return False
        return real is None or self.may_read(real, is_of_dataset=text.is_of_dataset)

    def may_read(self, real: str, *, is_of_dataset: bool = False) -> bool:
        kind, rest = self._find(real)
        if kind in (None, PlaceKind.MODELS, PlaceKind.OPEN):
            return not self._is_of_others(real)
        # Where the service keeps things a dataset may not lie: the trainer writes its cache into it.
        return not is_of_dataset and self._may_read_own(kind, real, rest)

    def may_examine(self, real: str) -> bool:
        kind, rest = self._find(real)
        if kind in (None, PlaceKind.OPEN):
            return self._sight.sees_all and not real.startswith("/dev/")
        return kind is PlaceKind.MODELS or self._may_read_own(kind, real, rest)

    def holds_protected(self, real: str) -> bool:
        """Whether some place that is not open, or another user's directory, lies below this one."""
        shut = [path for path, kind in self._places.items() if kind <= PlaceKind.LINKED]
        return any(_is_below(path, real) for path in (*shut, *self._directories_of_others()))

    def _find(self, real: str) -> tuple[PlaceKind | None, list[str]]:
        """Return the kind of the innermost place with a path, and the parts of the path below it."""
        found = max((path for path in self._places if _is_below(real, path)), key=len, default=None)
        if found is None:
            return None, []
        return self._places[found], real[len(found) :].strip("/").split("/")

    def _may_read_own(self, kind: PlaceKind | None, real: str, rest: list[str]) -> bool:
        if kind is PlaceKind.TASKS:
            return len(rest) > 1 and rest[1] == _OUTPUT and self._sees_task(rest[0])
        if kind is PlaceKind.REGISTERED:
            return self._sees_weights(rest[-1])
        if kind is PlaceKind.LINKED:
            sha256 = self._owners.hash_of_link(Path(real))
            return sha256 is None or self._sees_weights(sha256)
        return False

    def _sees_task(self, task_id: str) -> bool:
        try:
            return self._sight.sees(self._owners.of_task(task_id))
        except TaskNotFound:
            return False

    def _sees_weights(self, sha256: str) -> bool:
        return any(self._sight.sees(owner) for owner in self._owners.of_weights(sha256))

    def _is_of_others(self, real: str) -> bool:
        return any(_is_below(real, directory) for directory in self._directories_of_others())

    def _directories_of_others(self) -> list[str]:
        if self._others is None:
            self._others = []
            if not self._sight.sees_all:
                found = self._owners.registered_directories()
                self._others = [os.path.realpath(path) for path, owner in found if not self._sight.sees(owner)]
        return self._others


def _texts_in_files(files: Iterable[tuple[str, str]], base: Path | None) -> Iterator[RequestText]:
    """Yield every text in files of datasets, each with the pointer to its file."""
    for at, path in files:
        try:
            real = reach(path, None if base is None else str(base))
            with open_regular(real or "") as file:
                text = file.read(4 * MAX_CHARACTERS).decode()
        except (OSError, ValueError, UnknownTarget):
            continue  # the trainer's own check says what is wrong with it
        for found in texts_in(parse(text.replace("\r\n", "\n")), at):
            yield RequestText(at, found.text, is_of_dataset=True)


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")
