"""All living attempts on this machine below one root, whether or not the database knows them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from api.domain.task import ProcessIdentity
from api.executors.attempt.ended import has_outcome
from api.executors.attempt.process_marks import limit_of
from api.executors.executor import AttemptRef, LivingAttempt, Locate
from api.executors.process_survey import Survey
from api.executors.records import SpecRecord, parse_spec
from api.util.foreign_files import read


def list_living(
    found: Survey, root: Path, locate: Locate, uids: Callable[[], Iterable[str]] = tuple
) -> list[LivingAttempt]:
    """Return the living attempts whose directory is below `root`.

    Processes without a supervisor may carry only their uid, or only its hash as a limit. `locate` returns the directory
    of a uid; `uids` lists the known uids, to match such hashes.
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
    """Return the uids whose hash is on processes without a supervisor."""
    # Supervisors of other storages count, too: their directory names the uid. So `uids` is rarely called.
    watched = {limit_of(f"{directory.parent.parent.name}.{directory.name}") for directory in found.supervisors}
    left = found.marked.keys() - watched
    return [uid for uid in uids() if limit_of(uid) in left] if left else []


def _living(
    directory: Path, described: SpecRecord, supervisor: ProcessIdentity | None, members: tuple[ProcessIdentity, ...]
) -> LivingAttempt:
    ref = AttemptRef(described.uid, directory, Path(described.log_directory))
    return LivingAttempt(ref, described.gpu_uuids, supervisor, members, has_outcome(str(directory)))


def _read_spec(directory: Path) -> SpecRecord | None:
    try:
        return parse_spec(read(str(directory / "spec.json")))
    except OSError:
        return None
