"""Orphaned attempts, which run but are unknown to the database.

They protect occupied GPUs from being assigned after a database lost data.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from api.db.leases import ResourceHeld
from api.domain.access.audit import note_change
from api.domain.machines.gpu_event import EventType, Severity
from api.domain.machines.lease import LEASE_SECONDS
from api.domain.machines.reading import SourceName
from api.domain.reason import Reason
from api.domain.tasks.orphan import Orphan
from api.domain.tasks.training import TaskStatus
from api.errors import OrphanNotFound
from api.executors.executor import AttemptRef, Executor, LivingAttempt, StopOrder, Submission
from api.files.task_files import task_files, tasks_directory
from api.gpus.health.events import GPUEvents
from api.gpus.health.judgement import DRAINING_SECONDS
from api.gpus.offers import is_clear
from api.gpus.service import GPUService
from api.training.attempts.stop_delivery import AttemptStopping
from api.training.output.written import TrainingOutput
from api.training.records.orphan_store import FoundAttempt, OrphanStore
from api.util.clock import Clock
from api.util.files.foreign_trees import list_names
from api.util.http.base_path import BASE_PATH

logger = logging.getLogger(__name__)

#: The name of an attempt and of its directory. Other entries are not ours.
_UID = re.compile(r"(?P<task>[A-Za-z0-9_-]{1,64})\.(?P<number>[0-9]{1,9})", re.ASCII)

#: Interval of checks in seconds, and the shorter one while there are orphans, so that their GPUs become free soon.
CHECK_SECONDS = 30.0
ORPHAN_CHECK_SECONDS = 5.0

#: Limit of task directories searched for attempts.
MAX_TASKS = 1_000_000


class Orphans:
    """Compares running attempts with the database. The training loop calls `check`, requests call the rest."""

    def __init__(
        self,
        store: OrphanStore,
        executor: Executor,
        output: TrainingOutput,
        gpus: GPUService,
        events: GPUEvents,
        stopping: AttemptStopping,
        clock: Clock,
    ) -> None:
        self._store = store
        self._executor = executor
        self._trainers = output.trainers
        self._root = output.storage.root
        self._gpus = gpus
        self._events = events
        self._stopping = stopping
        self._clock = clock
        self._node = gpus.state.node
        # The token identifies this storage, because only a server that sees its processes can tell that none is left.
        self._token = "stray:" + hashlib.sha256(f"{self._node}\0{self._root}".encode()).hexdigest()[:32]
        self._due_at = float("-inf")
        self._reported: set[str] = set()
        self._missing_since: dict[
            str, float
        ] = {}  #: monotonic time since when a quarantined attempt is not found, by its uid

    def check(self) -> None:
        """Adopt orphans whose task is queued, and quarantine the GPUs of all others; every 30 s.

        Raise DatabaseUnavailable.
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
        self._reported.intersection_update(living.ref.uid for living in unknown)
        self._due_at = now + (ORPHAN_CHECK_SECONDS if unknown or are_awaited else CHECK_SECONDS)
        if has_changed:
            self._gpus.republish()

    def _find_freed(self, living: Collection[str], now: float) -> tuple[list[str], bool]:
        """Return the attempts that have ended, and whether others may soon follow.

        A missing attempt may still run: a disconnected node or an unavailable cluster lists nothing.
        """
        quarantined: dict[str, list[str]] = {}
        for lease in self._store.quarantined(self._token):
            if lease.attempt_uid is not None and lease.attempt_uid not in living:
                quarantined.setdefault(lease.attempt_uid, []).append(lease.resource)
        known = quarantined.keys() - self._store.unknown(quarantined)
        self._missing_since = {uid: self._missing_since.get(uid, now) for uid in quarantined.keys() - known}
        freed = [uid for uid, since in self._missing_since.items() if self._is_dead(uid, quarantined[uid], since)]
        are_awaited = any(
            now - since < DRAINING_SECONDS for uid, since in self._missing_since.items() if uid not in freed
        )
        if self._missing_since:
            self._gpus.sweep_soon()
        return sorted({*known, *freed}), are_awaited

    def _is_dead(self, uid: str, gpus: Iterable[str], since: float) -> bool:
        """Return whether the executor knows no process of it, and GPU readings after `since` show none."""
        directory = self._locate(uid)
        try:
            if directory is not None:
                log = task_files(self._root, uid.rpartition(".")[0]).log
                if self._executor.survivors(AttemptRef(uid, directory, log)):
                    return False
        except OSError:
            return False
        return all(self._is_unused(uuid, since) for uuid in gpus)

    def _is_unused(self, uuid: str, since: float) -> bool:
        state = self._gpus.state
        gpu = state.by_uuid.get(uuid)
        if gpu is None:
            # All GPUs of this machine are known, but those of other nodes only after their first report.
            return state.startable == {self._node} and state.snapshot.problem is None
        if is_clear(state, uuid, since):
            return True
        read = gpu.reading.read_monotonic
        if read is None or gpu.reading.fault is not None:
            return False
        # A simulated GPU looks busy because it is quarantined. On others, remaining processes belong to other users.
        patience = 0.0 if state.snapshot_of(gpu.node).source is SourceName.SIMULATED else DRAINING_SECONDS
        return read > since + patience

    def check_soon(self) -> None:
        """Make the next `check` run immediately, because the database may have changed."""
        self._due_at = float("-inf")

    def _find(self) -> list[LivingAttempt]:
        named = (_by_directory(each) for each in self._executor.living(self._root, self._locate, self._uids))
        living = [each for each in named if self._locate(each.ref.uid) == each.ref.directory]
        unknown = self._store.unknown(each.ref.uid for each in living)
        # A supervisor without processes only has to write the outcome.
        return [each for each in living if each.ref.uid in unknown and (each.members or not each.has_ended)]

    def _locate(self, uid: str) -> Path | None:
        named = _UID.fullmatch(uid)
        return None if named is None else task_files(self._root, named["task"]).attempts / named["number"]

    def _uids(self) -> Iterator[str]:
        """Yield the uids of all attempts that have a directory here."""
        for task in list_names(str(tasks_directory(self._root)), levels=0, most=MAX_TASKS)[0]:
            for number in list_names(str(task_files(self._root, task).attempts), levels=2)[0]:
                yield f"{task}.{number}"

    def _found(self, living: LivingAttempt) -> FoundAttempt:
        task_id, _, number = living.ref.uid.rpartition(".")
        indices = self._gpus.state.indices
        # A trainer can write its own record, so GPUs that it really uses are added.
        used = set(self._executor.used_gpus(living.ref) or ()).difference(living.gpu_uuids)
        uuids = (*living.gpu_uuids, *sorted(used))
        numbers = tuple(index for uuid in uuids if (index := indices.get(uuid)) is not None)
        return FoundAttempt(living.ref.uid, task_id, int(number), str(living.ref.directory), uuids, numbers)

    def _adopt(self, living: LivingAttempt) -> bool:
        found = self._found(living)
        if self._store.status_of(found.task_id) is not TaskStatus.QUEUED:
            return False
        if not found.gpu_uuids and self._store.needs_gpus(found.task_id):
            # Its GPUs are unknown.
            return False
        now = self._clock.now()
        try:
            expires_at = now + timedelta(seconds=LEASE_SECONDS)
            is_adopted = self._store.adopt(found, self._node, secrets.token_hex(16), expires_at, now)
        except ResourceHeld:
            return False
        if is_adopted:
            logger.warning("running attempt adopted", extra={"attempt": found.uid})
        return is_adopted

    def _quarantine(self, living: LivingAttempt) -> bool:
        found, reason = self._found(living), _orphan_reason(living)
        fresh = self._store.quarantine(found, self._token, reason, self._clock.now())
        if found.uid not in self._reported:
            self._reported.add(found.uid)
            extra = {"attempt": found.uid, "gpus": list(found.gpu_uuids), "directory": found.directory}
            logger.warning("orphaned attempt found; its GPUs are quarantined", extra=extra)
            self._events.add(self._clock.now(), EventType.TASK, Severity.WARNING, reason)
        return bool(fresh)

    # -- for requests ----------------------------------------------------------------------------------------------

    def list(self) -> tuple[Orphan, ...]:
        """Return the orphaned attempts of this machine and storage, sorted by name."""
        return tuple(self._show(living) for living in sorted(self._find(), key=lambda each: each.ref.uid))

    def _show(self, living: LivingAttempt) -> Orphan:
        found = self._found(living)
        return Orphan(
            attempt=found.uid,
            task_id=found.task_id,
            gpu_ids=found.gpu_indices,
            gpu_uuids=found.gpu_uuids,
            supervisor_pid=None if living.supervisor is None else living.supervisor.pid,
            pids=tuple(member.pid for member in living.members),
            directory=found.directory,
            reason=_orphan_reason(living).text,
        )

    def stop(self, uid: str, force: bool) -> Orphan:
        """Stop an orphaned attempt, with a checkpoint if possible unless `force`. Raise OrphanNotFound or OSError."""
        living = next((each for each in self._find() if each.ref.uid == uid), None)
        if living is None:
            raise OrphanNotFound(f'There is no orphaned attempt "{uid[:80]}".')
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
                checkpoint_seconds=0.0 if signal_file is None else self._stopping.times.checkpoint,
                terminate_seconds=self._stopping.times.terminate,
            ),
        )
        pids = [member.pid for member in living.members]
        note_change(before={"pids": pids, "gpu_uuids": list(living.gpu_uuids)}, after={"force": force})
        logger.warning("stop of an orphaned attempt requested", extra={"attempt": uid, "force": force})
        return self._show(living)

    def _signal_file(self, living: LivingAttempt) -> Path | None:
        """Return the signal file that makes its trainer save and quit.

        Its trainer is unknown, but all use the same file.
        """
        output = task_files(self._root, living.ref.uid.rpartition(".")[0]).output
        for trainer in self._trainers.values():
            run_dir = trainer.find_run_dir(output)
            if run_dir is not None:
                return trainer.signal_file(run_dir)
        return None


def _by_directory(living: LivingAttempt) -> LivingAttempt:
    """Return the attempt with the uid of its directory, because its own files are not trustworthy."""
    directory = living.ref.directory
    uid = f"{directory.parent.parent.name}.{directory.name}"
    return replace(living, ref=replace(living.ref, uid=uid))


def _orphan_reason(living: LivingAttempt) -> Reason:
    uid, pids = living.ref.uid, ", ".join(str(member.pid) for member in living.members[:3])
    address = f"{BASE_PATH}/system/strays/{uid}/stop"
    if not pids:
        return Reason.of(
            "the orphaned attempt {attempt} uses it (supervisor only): POST {address} stops it",
            "stray_supervisor",
            attempt=uid,
            address=address,
        )
    return Reason.of(
        "the orphaned attempt {attempt} uses it (process {pids}): POST {address} stops it",
        "stray",
        attempt=uid,
        pids=pids,
        address=address,
    )
