"""Attempts with GPUs on a Slurm cluster, others on this machine; the same supervisor watches over each.

Slurm says where a job is; how it ended, the supervisor's records in the shared STORAGE_ROOT. A job is known by our uid,
which is its name, never by Slurm's number alone: a controller that dies can lose one and give it to another job.
"""

import errno
import logging
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from api.domain.reason import Reason
from api.executors.attempt.files import write_json
from api.executors.attempt.orders import LEAVE
from api.executors.executor import (
    AttemptRef,
    EngineSilent,
    Executor,
    LivingAttempt,
    Locate,
    Log,
    NodeState,
    Observation,
    Phase,
    StopOrder,
    Submission,
)
from api.executors.heartbeats import Heartbeats
from api.executors.log_files import LogFiles
from api.executors.ports import LAST_PORT
from api.executors.record_files import check_absent, read_lost_bytes
from api.executors.records import Runner, parse_runner
from api.executors.slurm.ahead import AheadJobs, is_described
from api.executors.slurm.cluster import Cluster, ClusterLook, ClusterWatch
from api.executors.slurm.ending import AttemptEnds, may_submit_again, refine, why_ended
from api.executors.slurm.jobs import Job
from api.executors.slurm.notes import JobNote, JobNotes
from api.executors.slurm.request import describe_job, write_script
from api.executors.slurm.room import SubmitRoom
from api.executors.slurm.sight import StorageSight, write_mark
from api.executors.slurm.strays import list_strays
from api.executors.slurm.words import why_leaving, why_pending
from api.executors.spec import describe
from api.executors.stop_orders import give_order, order_of
from api.util.foreign_files import make_directory, read

logger = logging.getLogger(__name__)

#: Seconds for which an attempt without job, sign of life and outcome is waited for.
ABSENT_SECONDS = 15.0

#: Seconds after the end of a job for which an outcome may still be on its way through the file server.
SETTLE_SECONDS = 5.0

#: Seconds beyond its times after which a stop is Slurm's to make, and between two such tries.
OVERDUE_SECONDS = 15.0

#: Seconds before the end of its time in which an attempt saves and leaves.
LEAVE_SECONDS = 345.0


class SlurmExecutor:
    """The executor of a cluster. `local` has the attempts without GPUs; `comment` marks our jobs."""

    def __init__(
        self,
        cluster: Cluster,
        local: Executor,
        comment: str,
        python: str = sys.executable,
        env: Mapping[str, str] | None = None,
        settle_seconds: float = SETTLE_SECONDS,
        leave_seconds: float = LEAVE_SECONDS,
    ) -> None:
        self._watch = ClusterWatch(cluster, StorageSight(comment))
        self._local = local
        self._comment = comment
        self._python = python
        self._env = dict(env or {})
        self._settle_seconds = settle_seconds
        self._leave_seconds = leave_seconds
        #: What is handed to Slurm before it is an attempt.
        self.ahead = AheadJobs(self._watch, comment, python, self._env)
        self._heartbeats = Heartbeats()
        self._ends = AttemptEnds()
        self._without: dict[str, float] = {}  #: since when (monotonic) an attempt has no job, by uid
        self._overdue: dict[str, float] = {}  #: when (monotonic) a stop becomes Slurm's, by uid
        self._notes = JobNotes()
        self._room = SubmitRoom(self._watch, self.ahead, self._notes.numbers)
        self._is_listed = True

    def nodes(self) -> Sequence[NodeState]:
        return self._watch.nodes()

    def known_nodes(self) -> Sequence[NodeState]:
        """The machines by the latest look, without asking anybody."""
        return self._watch.known_nodes()

    def look(self) -> None:
        """Looks at the cluster, where the latest look is old."""
        try:
            self._watch.list_if_due()
        except OSError as error:
            # Said once: it may be away for hours, and what is known of machines grows old all the same.
            if self._is_listed:
                logger.warning(
                    "the jobs of the cluster cannot be listed", extra={"problem": error.strerror or str(error)}
                )
            self._is_listed = False
        else:
            self._is_listed = True
        self._watch.nodes()

    # Starting

    def submit(self, submission: Submission) -> None:
        """Raises OSError; EngineSilent where Slurm cannot be asked, EngineFull or EngineNever where it takes none."""
        ref = submission.ref
        if not submission.gpu_uuids and self._note(ref) is None:
            self._local.submit(submission)
            return
        look = self._watch.look()
        if look.problem is not None:
            raise EngineSilent(errno.EHOSTUNREACH, look.problem)
        kept = self._keep(ref, look)
        if is_described(ref.directory) if kept else self._local.observe([ref])[ref.uid].phase is Phase.ENDED:
            return
        make_directory(str(ref.directory))
        make_directory(str(ref.log_directory), levels=2)
        if kept is not None:
            # It was to have GPUs of any node that had some then; the claim is of one.
            self._bind(kept, submission)
        if self._runner(ref) is None:
            self._describe(submission)
        if kept is not None:
            return
        self._notes.note_job(ref.directory, None)
        write_mark(ref.directory, ref.uid)
        job = describe_job(submission, self._comment, self._env, self._watch.barred())
        number = self._room.submit(ref.uid, write_script(self._python, ref.uid, ref.directory), job)
        self._notes.note_job(ref.directory, number)
        self._watch.release(number)

    def _bind(self, kept: Job, submission: Submission) -> None:
        """Has a job that was handed over ahead begin where its attempt has claimed GPUs. Raises OSError."""
        if submission.node is None or not kept.is_pending:
            return
        is_free = submission.wishes is not None and submission.wishes.features is None
        # Of such a form of constraint only Slurm knows which machine has it.
        others = {node.name for node in self._watch.nodes()} - kept.excluded if is_free else set[str]()
        self.ahead.widen(submission.ref.uid, others | {submission.node})

    def _describe(self, submission: Submission) -> None:
        directory = submission.ref.directory
        # Slurm has a control group for it already, which nothing may leave.
        spec = describe(submission, submission.node or "", use_cgroup=False)
        write_json(str(directory / "environment.json"), dict(submission.env))
        # Last: a job that was handed over ahead begins by it.
        write_json(str(directory / "spec.json"), {**spec, "master_port": submission.master_port})

    def _keep(self, ref: AttemptRef, look: ClusterLook) -> Job | None:
        """The attempt's one job that is not over, released and noted; others of its name go. Raises OSError."""
        noted = self._note(ref)
        if noted is not None and noted.job_id is not None:
            self._watch.vouch(noted.job_id, ref.uid)
        live = [job for job in look.jobs.get(ref.uid, ()) if not job.is_over]
        if not live:
            return None
        begun = [job for job in live if not job.is_pending]
        kept = next((job for job in live if noted is not None and job.job_id == noted.job_id), None)
        kept = begun[0] if begun and (kept is None or kept.is_pending) else kept
        kept = kept or min(live, key=lambda job: job.job_id)
        if noted is None or noted.job_id != kept.job_id:
            self._notes.note_job(ref.directory, kept.job_id)
        for job in live:
            if job is not kept and job.is_pending:
                logger.warning("a second job of an attempt is cancelled", extra={"attempt": ref.uid, "job": job.job_id})
                self._watch.cancel(job)
        if kept.is_held and not self._has_begun_already(ref):
            self._watch.release(kept.job_id)
        return kept

    def _has_begun_already(self, ref: AttemptRef) -> bool:
        """Whether a held job runs nevertheless: a controller that died forgot its start. Started once more on its node,
        it would be a duplicate there, for which Slurm takes the node out of service.
        """
        return self._runner(ref) is not None and self._heartbeats.measure(ref.directory, None) < ABSENT_SECONDS

    def _note(self, ref: AttemptRef) -> JobNote | None:
        """What is kept of its job; None for an attempt that is not Slurm's. Raises OSError."""
        return self._notes.get(ref.directory)

    # Observing

    def observe(self, attempts: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        seen = dict(self._local.observe(attempts))
        look = self._watch.look(fresh=True) if attempts else None
        for ref in attempts:
            try:
                if look is not None and (ref.uid in look.jobs or self._note(ref) is not None):
                    seen[ref.uid] = self._look_at(ref, seen[ref.uid], look)
            except OSError as error:
                reason = f"{ref.directory} cannot be read, or Slurm not be told: {error.strerror or error}"
                seen[ref.uid] = Observation(Phase.UNKNOWN, "", reason=reason)
        return seen

    def _look_at(self, ref: AttemptRef, recorded: Observation, look: ClusterLook) -> Observation:
        if look.problem is not None:
            return self._unseen(ref, recorded, look.problem)
        job = self._keep(ref, look)
        if job is None:
            return self._jobless(ref, recorded, look)
        self._without.pop(ref.uid, None)
        if job.is_pending and recorded.phase is Phase.ENDED:
            # A controller that died has forgotten that it ran.
            self._watch.cancel(job)
            return refine(recorded, None, self._note(ref), ref)
        if self.ahead.is_given_ahead(job) and not is_described(ref.directory) and recorded.phase is not Phase.ENDED:
            return Observation(Phase.ABSENT, "", reason="its job was handed over ahead, and waits for it")
        if job.is_pending:
            return Observation(Phase.QUEUED, "", reason=why_pending(job).text)
        self._end_overdue(ref, job)
        leaves = why_leaving(job, time.time(), self._leave_seconds)
        if leaves is not None:
            self._notes.note_leave(ref.directory, *leaves)
        return replace(self._running(ref, job), is_called_away=leaves is not None)

    def _running(self, ref: AttemptRef, job: Job | None) -> Observation:
        runner, node = self._runner(ref), job.nodes[0] if job is not None and job.nodes else ""
        if runner is None:
            return Observation(Phase.RUNNING, node, reason="its supervisor is starting")
        given = () if job is None else sorted(job.gpus.get(node, ()))
        return Observation(
            phase=Phase.RUNNING if runner.stop_rung is None else Phase.STOPPING,
            node=node or runner.node or "",
            process=runner.trainer,
            supervisor=runner.supervisor,
            stop_rung=runner.stop_rung,
            log_start=runner.log_offset,
            log_lost_bytes=runner.log_lost_bytes,
            gpu_indices=tuple(given) or None,
        )

    def _unseen(self, ref: AttemptRef, recorded: Observation, problem: str) -> Observation:
        """What its supervisor's own records show while Slurm cannot be asked."""
        quiet = self._heartbeats.measure(ref.directory, None)
        if recorded.phase is Phase.ENDED and quiet >= ABSENT_SECONDS:
            return recorded
        if self._runner(ref) is not None and quiet < ABSENT_SECONDS:
            return replace(self._running(ref, None), reason=problem)
        return Observation(Phase.UNKNOWN, "", reason=problem, age=quiet)

    def _jobless(self, ref: AttemptRef, recorded: Observation, look: ClusterLook) -> Observation:
        """An attempt none of whose jobs goes on: it has ended, or is yet to be handed over."""
        noted = self._note(ref)
        number = None if noted is None else noted.job_id
        job = next((each for each in look.jobs.get(ref.uid, ()) if each.job_id == number), None)
        if recorded.phase is Phase.ENDED:
            self._forget(ref)
            return refine(recorded, job, noted, ref)
        has_begun = self._runner(ref) is not None
        if job is None and number in look.unread:
            quiet = self._heartbeats.measure(ref.directory, None)
            return Observation(
                Phase.UNKNOWN, "", reason=f"what Slurm says of its job {number} cannot be read", age=quiet
            )
        if job is None and not has_begun and number is None:
            return Observation(Phase.ABSENT, "", reason="Slurm has no job of it")
        since = self._without.setdefault(ref.uid, time.monotonic())
        quiet = min(self._heartbeats.measure(ref.directory, None), time.monotonic() - since)
        if quiet < (ABSENT_SECONDS if job is None else self._settle_seconds):
            reason = "Slurm does not know its job" if job is None else "its job is over, and its outcome not yet there"
            return replace(self._running(ref, None), reason=reason)
        if not has_begun and (job is None or may_submit_again(ref, job, noted)):
            self._without.pop(ref.uid, None)
            self._notes.note_loss(ref.directory)
            logger.warning("a job is gone before it began", extra={"attempt": ref.uid, "job": number, "last": str(job)})
            return Observation(Phase.ABSENT, "", reason="Slurm has lost its job, or thrown it out before it began")
        is_seen_over = job is not None and not job.was_given_up
        if not self._ends.end(ref.directory, *why_ended(job, ref), is_seen_over=is_seen_over):
            reason = f"a supervisor that may live has it still: remove {ref.directory}/lock only where it is dead"
            return Observation(Phase.UNKNOWN, "", reason=reason, age=quiet)
        return refine(self._local.observe([ref])[ref.uid], job, noted, ref)

    def _runner(self, ref: AttemptRef) -> Runner | None:
        try:
            return parse_runner(read(str(ref.directory / "runner.json")))
        except OSError as error:
            check_absent(error)
            return None

    def _forget(self, ref: AttemptRef) -> None:
        self._without.pop(ref.uid, None)
        self._overdue.pop(ref.uid, None)
        self._heartbeats.forget(ref.directory)
        self._notes.forget(ref.directory)

    # Stopping

    def stop(self, ref: AttemptRef, order: StopOrder) -> None:
        """Raises OSError."""
        if self._note(ref) is None:
            self._local.stop(ref, order)
            return
        give_order(ref.directory, order_of(order), None)
        seconds = order.checkpoint_seconds + order.terminate_seconds + OVERDUE_SECONDS
        self._overdue[ref.uid] = min(self._overdue.get(ref.uid, float("inf")), time.monotonic() + seconds)
        known = self._watch.known_look()
        jobs = () if known is None else known.jobs.get(ref.uid, ())
        if (known is not None and known.problem is not None) or (jobs and not any(job.is_pending for job in jobs)):
            # Its supervisor has the order, and people wait; one that is seen waiting later is stopped once more.
            return
        for job in self._watch.look(fresh=True).jobs.get(ref.uid, ()):
            if job.is_pending:
                self._watch.cancel(job)

    def prepare_leave(self, ref: AttemptRef, order: StopOrder) -> None:
        """Raises OSError."""
        if self._note(ref) is not None:
            write_json(str(ref.directory / LEAVE), order_of(order).as_json())

    def _end_overdue(self, ref: AttemptRef, job: Job) -> None:
        """Lets Slurm end a job whose supervisor has not ended it in time."""
        if time.monotonic() >= self._overdue.get(ref.uid, float("inf")):
            logger.warning("Slurm is to end a job that does not stop", extra={"attempt": ref.uid, "job": job.job_id})
            self._watch.cancel(job)
            self._overdue[ref.uid] = time.monotonic() + OVERDUE_SECONDS

    # Looking closer

    def survivors(self, ref: AttemptRef) -> Sequence[int]:
        """The pids on this machine; of an attempt on a node its supervisor's, as long as its job is not over.

        A machine that Slurm has given up may have some left: its GPUs are not offered before a fresh reading shows them
        without. Raises OSError while Slurm cannot be asked.
        """
        if self._note(ref) is None:
            return self._local.survivors(ref)
        look = self._watch.look()
        if look.problem is not None:
            raise OSError(look.problem)
        if all(job.is_over or job.is_pending for job in look.jobs.get(ref.uid, ())):
            return ()
        runner = self._runner(ref)
        return (0,) if runner is None or runner.supervisor is None else (runner.supervisor.pid,)

    def living(self, root: Path, locate: Locate, uids: Callable[[], Iterable[str]]) -> Sequence[LivingAttempt]:
        here = self._local.living(root, locate, uids)
        known = {each.ref.uid for each in here}
        ours = [
            job
            for jobs in self._watch.look().jobs.values()
            for job in jobs
            if self._is_ours(job) and not job.is_over and job.name not in known
        ]
        return (*here, *list_strays(ours, locate))

    def _is_ours(self, job: Job) -> bool:
        return job.comment == self._comment or self.ahead.is_given_ahead(job)

    def used_gpus(self, ref: AttemptRef) -> Collection[str] | None:
        # A driver's list of processes is each machine's own.
        return self._local.used_gpus(ref) if self._note(ref) is None else None

    def free_port(self, node: str, held: Collection[int]) -> int:
        """A port of this machine that is free, of another one that is not held: the node chooses anew if need be."""
        return min(self._local.free_port(node, held), LAST_PORT)

    def why_queued(self, ref: AttemptRef) -> Reason | None:
        # People ask for it: they are not to wait for a cluster that answers slowly.
        look = self._watch.known_look()
        pending = [job for job in ([] if look is None else look.jobs.get(ref.uid, ())) if job.is_pending]
        return why_pending(min(pending, key=lambda job: job.job_id)) if pending else self._room.why(ref.uid)

    def lost_bytes(self, ref: AttemptRef) -> int | None:
        return read_lost_bytes(str(ref.directory / "runner.json"))

    def open_log(self, log_directory: Path) -> Log:
        return LogFiles(log_directory)

    def read_log(self, ref: AttemptRef, offset: int, limit: int) -> tuple[int, bytes]:
        """Raises OSError."""
        return LogFiles(ref.log_directory).read(offset, limit)
