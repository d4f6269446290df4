"""Attempts that live although the database does not know them: a database that forgets gives no occupied GPU away."""

import hashlib
import logging
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from api.db.leases import ResourceHeld
from api.domain.audit import note_change
from api.domain.event import EventType, Severity
from api.domain.lease import LEASE_SECONDS
from api.domain.reading import SourceName
from api.domain.reason import Reason
from api.domain.stray import Stray
from api.domain.training import TaskStatus
from api.errors import StrayNotFound
from api.executors.executor import AttemptRef, Executor, LivingAttempt, StopOrder, Submission
from api.files.task_files import task_files, tasks_directory
from api.gpus.events import GPUEvents
from api.gpus.judgement import DRAINING_SECONDS
from api.gpus.offers import is_clear
from api.gpus.service import GPUService
from api.trainers.trainer import Trainer
from api.training.attempts.reconciler import StopTimes
from api.training.stray_store import FoundAttempt, StrayStore
from api.util.base_path import BASE_PATH
from api.util.clock import Clock
from api.util.foreign_trees import list_names

logger = logging.getLogger(__name__)

#: The name of an attempt, and so of its directory; anything else there is not ours.
_UID = re.compile(r"(?P<task>[A-Za-z0-9_-]{1,64})\.(?P<number>[0-9]{1,9})", re.ASCII)

#: Seconds between two looks at all that lives, and while there are strays, so that their GPUs are soon free again.
LOOK_SECONDS = 30.0
NEXT_LOOK_SECONDS = 5.0

#: The most tasks whose attempts are looked for by their directories.
MAX_TASKS = 1_000_000


class Strays:
    """Compares what lives with what the database knows. `look` belongs to the training loop, the rest to requests."""

    def __init__(
        self,
        store: StrayStore,
        executor: Executor,
        trainers: Mapping[str, Trainer],
        gpus: GPUService,
        events: GPUEvents,
        clock: Clock,
        node: str,
        storage_root: Path,
        stop_times: StopTimes,
    ) -> None:
        self._store = store
        self._executor = executor
        self._trainers = trainers
        self._gpus = gpus
        self._events = events
        self._clock = clock
        self._node = node
        self._root = storage_root
        self._stop_times = stop_times
        # Only who can see the processes of a storage may say that none is left.
        self._token = "stray:" + hashlib.sha256(f"{node}\0{storage_root}".encode()).hexdigest()[:32]
        self._due_at = float("-inf")
        self._told: set[str] = set()
        self._gone: dict[str, float] = {}  #: since when (monotonic) a kept attempt is not found any more, by its uid

    def look(self) -> None:
        """Adopts what is unknown of a task that waits, and keeps the GPUs of everything else unknown; every 30 s.

        Raises DatabaseUnavailable.
        """
        now = self._clock.monotonic()
        if now < self._due_at:
            return
        unknown = self._find()
        freed, are_awaited = self._find_freed({living.ref.uid for living in unknown}, now)
        if freed:
            self._store.release(freed)
        has_changed = bool(freed)
        for living in unknown:
            has_changed |= self._adopt(living) or self._quarantine(living)
        self._told.intersection_update(living.ref.uid for living in unknown)
        self._due_at = now + (NEXT_LOOK_SECONDS if unknown or are_awaited else LOOK_SECONDS)
        if has_changed:
            self._gpus.note_change()

    def _find_freed(self, living: Collection[str], now: float) -> tuple[list[str], bool]:
        """The attempts of which nothing lives any more, and whether others may soon be among them.

        Not to be found is not to be dead: a node that is cut off, or a cluster that does not answer, lists nothing.
        """
        kept: dict[str, list[str]] = {}
        for lease in self._store.quarantined(self._token):
            if lease.attempt_uid is not None and lease.attempt_uid not in living:
                kept.setdefault(lease.attempt_uid, []).append(lease.resource)
        known = kept.keys() - self._store.unknown(kept)
        self._gone = {uid: self._gone.get(uid, now) for uid in kept.keys() - known}
        freed = [uid for uid, since in self._gone.items() if self._is_dead(uid, kept[uid], since)]
        are_awaited = any(now - since < DRAINING_SECONDS for uid, since in self._gone.items() if uid not in freed)
        if self._gone:
            self._gpus.sweep_soon()
        return sorted({*known, *freed}), are_awaited

    def _is_dead(self, uid: str, gpus: Iterable[str], since: float) -> bool:
        """Whether the executor knows of no process of it, and its GPUs, read after `since`, show none either."""
        directory = self._locate(uid)
        try:
            if directory is not None:
                log = task_files(self._root, uid.rpartition(".")[0]).log
                if self._executor.survivors(AttemptRef(uid, directory, log)):
                    return False
        except OSError:
            return False
        return all(self._is_left(uuid, since) for uuid in gpus)

    def _is_left(self, uuid: str, since: float) -> bool:
        state = self._gpus.state
        gpu = state.by_uuid.get(uuid)
        if gpu is None:
            # Of this machine's GPUs each is known; of other machines' none that was not heard of yet.
            return state.startable == {self._node} and state.snapshot.problem is None
        if is_clear(state, uuid, since):
            return True
        read = gpu.reading.read_monotonic
        if read is None or gpu.reading.fault is not None:
            return False
        # A simulated GPU is at work because it is kept. On others what is still there is somebody else's.
        patience = 0.0 if state.snapshot_of(gpu.node).source is SourceName.SIMULATED else DRAINING_SECONDS
        return read > since + patience

    def look_soon(self) -> None:
        """Has the next `look` look at once, as what the database knows may have changed."""
        self._due_at = float("-inf")

    def _find(self) -> list[LivingAttempt]:
        named = (_by_place(each) for each in self._executor.living(self._root, self._locate, self._uids))
        living = [each for each in named if self._locate(each.ref.uid) == each.ref.directory]
        unknown = self._store.unknown(each.ref.uid for each in living)
        # A supervisor without processes has nothing left to do but to write the outcome.
        return [each for each in living if each.ref.uid in unknown and (each.members or not each.has_ended)]

    def _locate(self, uid: str) -> Path | None:
        named = _UID.fullmatch(uid)
        return None if named is None else task_files(self._root, named["task"]).attempts / named["number"]

    def _uids(self) -> Iterator[str]:
        """The uids of all attempts that have a directory here."""
        for task in list_names(str(tasks_directory(self._root)), levels=0, most=MAX_TASKS)[0]:
            for number in list_names(str(task_files(self._root, task).attempts), levels=2)[0]:
                yield f"{task}.{number}"

    def _found(self, living: LivingAttempt) -> FoundAttempt:
        task_id, _, number = living.ref.uid.rpartition(".")
        indices = self._gpus.state.indices
        # A trainer can write its own record: what it is at work on counts besides.
        used = set(self._executor.used_gpus(living.ref) or ()).difference(living.gpu_uuids)
        uuids = (*living.gpu_uuids, *sorted(used))
        numbers = tuple(index for uuid in uuids if (index := indices.get(uuid)) is not None)
        return FoundAttempt(living.ref.uid, task_id, int(number), str(living.ref.directory), uuids, numbers)

    def _adopt(self, living: LivingAttempt) -> bool:
        found = self._found(living)
        if self._store.status_of(found.task_id) is not TaskStatus.QUEUED:
            return False
        if not found.gpu_uuids and self._store.needs_gpus(found.task_id):
            # On which it runs nobody can say any more.
            return False
        now = self._clock.now()
        try:
            expires_at = now + timedelta(seconds=LEASE_SECONDS)
            is_adopted = self._store.adopt(found, self._node, secrets.token_hex(16), expires_at, now)
        except ResourceHeld:
            return False
        if is_adopted:
            logger.warning("attempt found alive and adopted", extra={"attempt": found.uid})
        return is_adopted

    def _quarantine(self, living: LivingAttempt) -> bool:
        found, reason = self._found(living), _say(living)
        fresh = self._store.quarantine(found, self._token, reason, self._clock.now())
        if found.uid not in self._told:
            self._told.add(found.uid)
            extra = {"attempt": found.uid, "gpus": list(found.gpu_uuids), "directory": found.directory}
            logger.warning("attempt lives that the database does not know: its GPUs are kept for it", extra=extra)
            self._events.add(self._clock.now(), EventType.TASK, Severity.WARNING, reason)
        return bool(fresh)

    # -- for requests ----------------------------------------------------------------------------------------------

    def list(self) -> tuple[Stray, ...]:
        """The stray attempts of this machine and storage, sorted by name."""
        return tuple(self._show(living) for living in sorted(self._find(), key=lambda each: each.ref.uid))

    def _show(self, living: LivingAttempt) -> Stray:
        found = self._found(living)
        return Stray(
            attempt=found.uid,
            task_id=found.task_id,
            gpu_ids=found.gpu_indices,
            gpu_uuids=found.gpu_uuids,
            supervisor_pid=None if living.supervisor is None else living.supervisor.pid,
            pids=tuple(member.pid for member in living.members),
            directory=found.directory,
            reason=_say(living).text,
        )

    def stop(self, uid: str, force: bool) -> Stray:
        """Asks a stray attempt to stop: with a checkpoint where it can save one, or with `force` at once. Raises
        StrayNotFound, OSError.
        """
        living = next((each for each in self._find() if each.ref.uid == uid), None)
        if living is None:
            raise StrayNotFound(f'No stray attempt has the name "{uid[:80]}".')
        if living.supervisor is None:
            output = task_files(self._root, uid.rpartition(".")[0]).output
            self._executor.submit(
                Submission(living.ref, (), Path("/"), {}, gpu_uuids=living.gpu_uuids, has_run=True, output_dir=output)
            )
        signal_file = None if force else self._signal_file(living)
        self._executor.stop(
            living.ref,
            StopOrder(
                signal_file,
                checkpoint_seconds=0.0 if signal_file is None else self._stop_times.checkpoint,
                terminate_seconds=self._stop_times.terminate,
            ),
        )
        pids = [member.pid for member in living.members]
        note_change(before={"pids": pids, "gpu_uuids": list(living.gpu_uuids)}, after={"force": force})
        logger.warning("a stray attempt is asked to stop", extra={"attempt": uid, "force": force})
        return self._show(living)

    def _signal_file(self, living: LivingAttempt) -> Path | None:
        """The signal file by which its trainer is asked to save and quit: the same for all trainers, as which one it is
        nobody knows.
        """
        output = task_files(self._root, living.ref.uid.rpartition(".")[0]).output
        for trainer in self._trainers.values():
            run_dir = trainer.find_run_dir(output)
            if run_dir is not None:
                return trainer.signal_file(run_dir)
        return None


def _by_place(living: LivingAttempt) -> LivingAttempt:
    """The attempt named by its directory's place, since its own files could say anything."""
    directory = living.ref.directory
    uid = f"{directory.parent.parent.name}.{directory.name}"
    return replace(living, ref=replace(living.ref, uid=uid))


def _say(living: LivingAttempt) -> Reason:
    uid, pids = living.ref.uid, ", ".join(str(member.pid) for member in living.members[:3])
    address = f"{BASE_PATH}/system/strays/{uid}/stop"
    if not pids:
        return Reason.of(
            "{attempt}, which the database does not know, lives on it (its supervisor): POST {address} ends it",
            "stray_supervisor",
            attempt=uid,
            address=address,
        )
    return Reason.of(
        "{attempt}, which the database does not know, lives on it (process {pids}): POST {address} ends it",
        "stray",
        attempt=uid,
        pids=pids,
        address=address,
    )
