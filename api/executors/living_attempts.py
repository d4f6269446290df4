"""All attempts that live on this machine under one root, whatever any database knows of them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from api.domain.task import ProcessIdentity
from api.executors.attempt.ended import has_outcome
from api.executors.attempt.process_marks import limit_of
from api.executors.executor import AttemptRef, LivingAttempt, Locate
from api.executors.process_survey import Survey
from api.executors.records import Described, parse_spec
from api.util.foreign_files import read


def list_living(
    found: Survey, root: Path, locate: Locate, uids: Callable[[], Iterable[str]] = tuple
) -> list[LivingAttempt]:
    """The living attempts whose directory lies below `root`. `locate` says where the directory of a uid would be:
    processes that have lost their supervisor carry their uid only, or a figure of it; `uids` lists those there are.
    """
    living = list(_supervised(found, root))
    known = {each.ref.uid for each in living}
    for uid in {*found.members, *_named(found, uids)} - known:
        directory = locate(uid)
        described = None if directory is None else _read_spec(directory)
        if directory is not None and described is not None and described.uid == uid:
            living.append(_living(directory, described, None, found.members_of(uid)))
    return living


def _supervised(found: Survey, root: Path) -> Iterator[LivingAttempt]:
    for directory, supervisor in found.supervisors.items():
        described = _read_spec(directory) if directory.is_relative_to(root) else None
        if described is not None:
            yield _living(directory, described, supervisor, found.members_of(described.uid))


def _named(found: Survey, uids: Callable[[], Iterable[str]]) -> list[str]:
    """The uids whose figure is on processes without a supervisor."""
    # Also those of other storages have supervisors, whose directory says the uid: all ours are seldom listed.
    watched = {limit_of(f"{directory.parent.parent.name}.{directory.name}") for directory in found.supervisors}
    left = found.marked.keys() - watched
    return [uid for uid in uids() if limit_of(uid) in left] if left else []


def _living(
    directory: Path, described: Described, supervisor: ProcessIdentity | None, members: tuple[ProcessIdentity, ...]
) -> LivingAttempt:
    ref = AttemptRef(described.uid, directory, Path(described.log_directory))
    return LivingAttempt(ref, described.gpu_uuids, supervisor, members, has_outcome(str(directory)))


def _read_spec(directory: Path) -> Described | None:
    try:
        return parse_spec(read(str(directory / "spec.json")))
    except OSError:
        return None
