"""Decide which files a user may read by naming their paths in a request.

A path is resolved like the trainer does: relative to its working directory, through links and `..`. The resolved path
counts, not its text. Files outside of the listed directories are left to the permissions of the file system.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path

from api.domain.access.read_scope import ReadScope
from api.domain.finding import make_finding
from api.domain.tasks.training import TrainingRequest
from api.errors import Finding, FindingText, TaskNotFound
from api.trainers.request_texts import RequestText, list_texts, parse, texts_in
from api.trainers.toml_text import MAX_CHARACTERS
from api.trainers.trainer import SupportsPaths, Trainer
from api.util.files.outside_files import open_regular
from api.util.files.reached_paths import UnknownTarget, is_below, reach

#: The finding about a refused path. It does not depend on whether the file exists.
NOT_PERMITTED = FindingText(
    "path_of_others",
    "This path leads to files of the service or of another user.",
    'Use a dataset ("dataset": "name"), the output of one of your tasks, or other files.',
)

#: The readable directory of a task; its other directories contain secrets, environment and log.
_OUTPUT = "output"


class PathAccess(IntEnum):
    """What may be read in a directory. The lowest kind for a directory counts."""

    CLOSED = 0  #: nothing
    TASKS = 1  #: the output of tasks in the reader's scope
    REGISTERED = 2  #: files of registered models in the reader's scope, by their hash
    LINKED = 3  #: links to files of registered models; other files there are readable by all
    MODELS = 4  #: everything
    OPEN = 5  #: everything, for trainings


@dataclass(frozen=True, slots=True)
class PathRule:
    """A directory or file, and what may be read in it."""

    path: Path
    kind: PathAccess


@dataclass(frozen=True, slots=True)
class PathOwners:
    """Functions that find the owners of files; they may query the database."""

    of_task: Callable[[str], str | None]  #: raises TaskNotFound
    of_weights: Callable[[str], Collection[str | None]]  #: of the registered versions with this hash
    hash_of_link: Callable[[Path], str | None]  #: of the stored file behind a hard link, or None
    registered_directories: Callable[[], Iterable[tuple[str, str | None]]]  #: of registered datasets, with their owners


class ReadablePaths:
    """Checks paths for a reader. It opens no files."""

    def __init__(
        self, rules: Sequence[PathRule], owners: PathOwners, scope_of_owner: Callable[[str | None], ReadScope]
    ) -> None:
        """`scope_of_owner` returns the current scope of a task's owner."""
        self.rules = tuple(rules)  #: may change at run time
        self._owners = owners
        self.scope_of_owner = scope_of_owner

    def check(self, texts: Iterable[RequestText], base: Path | None, scope: ReadScope) -> list[Finding]:
        """Return a mistake for each text that resolves to a path that the reader may not read.

        `base` is the trainer's working directory. None: the trainer is not installed, and opens no relative path.
        """
        checker = _PathChecker(self.rules, self._owners, scope, base)
        refused = dict.fromkeys(each.pointer for each in texts if not checker.may_train_on(each))
        return [make_finding(at, NOT_PERMITTED) for at in refused]

    def check_request(
        self, request: TrainingRequest, trainer: Trainer, attempt: Path, scope: ReadScope
    ) -> list[Finding]:
        """Return a mistake for each forbidden path in a request, or in the dataset files that it names.

        `attempt` is the directory of the attempt.
        """
        if not isinstance(trainer, SupportsPaths):
            return []
        base = trainer.working_directory(attempt)
        # Dataset files are opened only if their own paths are permitted.
        return self.check(list_texts(request), base, scope) or self.check(
            _texts_in_files(trainer.list_dataset_files(request), base), base, scope
        )

    def find_examined(self, text: str, scope: ReadScope) -> Path | None:
        """Return the resolved path if the caller may examine it as weights, else None.

        Readers with a limited scope may name only model directories and resources in their scope.
        """
        checker = _PathChecker(self.rules, self._owners, scope, None)
        real = checker.reach(text)
        return Path(real) if real is not None and checker.may_examine(real) else None

    def lister(self, scope: ReadScope) -> Callable[[str], bool]:
        """Return a function that decides whether the names in a resolved directory may be listed to the reader."""
        checker = _PathChecker(self.rules, self._owners, scope, None)
        return partial(checker.may_read, is_of_dataset=True)

    def may_register(self, real: Path, scope: ReadScope) -> bool:
        """Return whether a directory may be registered as a dataset, which makes everything below it readable."""
        checker = _PathChecker(self.rules, self._owners, scope, None)
        return checker.may_read(str(real), is_of_dataset=True) and not checker.holds_protected(str(real))


class _PathChecker:
    """Checks for one reader, with the current directories."""

    def __init__(self, rules: Sequence[PathRule], owners: PathOwners, scope: ReadScope, base: Path | None) -> None:
        self._rules = {}
        for rule in sorted(rules, key=lambda each: -each.kind):
            self._rules[os.path.realpath(rule.path)] = rule.kind
        if base is not None:
            self._rules.setdefault(os.path.realpath(base), PathAccess.OPEN)
        self._owners = owners
        self._scope = scope
        self._base = None if base is None else str(base)
        self._others: list[str] | None = None

    def reach(self, text: str) -> str | None:
        """Return the resolved path; None if it does not exist or cannot be resolved."""
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
        if kind in (None, PathAccess.MODELS, PathAccess.OPEN):
            return not self._is_of_others(real)
        # Datasets must not be in the service's directories, because the trainer writes its cache into them.
        return not is_of_dataset and self._may_read_own(kind, real, rest)

    def may_examine(self, real: str) -> bool:
        kind, rest = self._find(real)
        if kind in (None, PathAccess.OPEN):
            return self._scope.sees_all and not real.startswith("/dev/")
        return kind is PathAccess.MODELS or self._may_read_own(kind, real, rest)

    def holds_protected(self, real: str) -> bool:
        """Return whether a protected directory, or one of another user, is below this one."""
        shut = [path for path, kind in self._rules.items() if kind <= PathAccess.LINKED]
        return any(is_below(path, real) for path in (*shut, *self._directories_of_others()))

    def _find(self, real: str) -> tuple[PathAccess | None, list[str]]:
        """Return the kind of the innermost directory that contains a path, and the parts of the path below it."""
        found = max((path for path in self._rules if is_below(real, path)), key=len, default=None)
        if found is None:
            return None, []
        return self._rules[found], real[len(found) :].strip("/").split("/")

    def _may_read_own(self, kind: PathAccess | None, real: str, rest: list[str]) -> bool:
        if kind is PathAccess.TASKS:
            return len(rest) > 1 and rest[1] == _OUTPUT and self._sees_task(rest[0])
        if kind is PathAccess.REGISTERED:
            return self._sees_weights(rest[-1])
        if kind is PathAccess.LINKED:
            sha256 = self._owners.hash_of_link(Path(real))
            return sha256 is None or self._sees_weights(sha256)
        return False

    def _sees_task(self, task_id: str) -> bool:
        try:
            return self._scope.sees(self._owners.of_task(task_id))
        except TaskNotFound:
            return False

    def _sees_weights(self, sha256: str) -> bool:
        return any(self._scope.sees(owner) for owner in self._owners.of_weights(sha256))

    def _is_of_others(self, real: str) -> bool:
        return any(is_below(real, directory) for directory in self._directories_of_others())

    def _directories_of_others(self) -> list[str]:
        if self._others is None:
            self._others = []
            if not self._scope.sees_all:
                found = self._owners.registered_directories()
                self._others = [os.path.realpath(path) for path, owner in found if not self._scope.sees(owner)]
        return self._others


def _texts_in_files(files: Iterable[tuple[str, str]], base: Path | None) -> Iterator[RequestText]:
    """Yield every text in dataset files, each with the pointer to its file."""
    for at, path in files:
        try:
            real = reach(path, None if base is None else str(base))
            with open_regular(real or "") as file:
                text = file.read(4 * MAX_CHARACTERS).decode()
        except (OSError, ValueError, UnknownTarget):
            continue  # the trainer's own check reports the problem
        for found in texts_in(parse(text.replace("\r\n", "\n")), at):
            yield RequestText(at, found.text, is_of_dataset=True)
