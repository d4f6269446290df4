"""Run attempts with GPUs on a Slurm cluster, and others on this machine, with the same supervisor.

Slurm reports the state of a job. The supervisor's records in the shared STORAGE_ROOT show how it ended. A job is
identified by its name, which is the attempt's uid, and never by Slurm's number alone: a crashed controller can reuse
the number of a lost job.
"""

import errno
import logging
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from api.domain.reason import Reason
from api.executors.attempt.orders import LEAVE
from api.executors.attempt.small_files import write_json
from api.executors.executor import (
    AttemptRef,
    EngineUnavailable,
    Executor,
    LivingAttempt,
    Locate,
    NodeState,
    Observation,
    Phase,
    StopOrder,
    Submission,
)
from api.executors.log_files import KeepsLogs
from api.executors.ports import LAST_PORT
from api.executors.records import Heartbeats, Runner, check_absent, parse_runner, parse_spec
from api.executors.slurm.cluster import Cluster, ClusterPoll, ClusterWatch
from api.executors.slurm.early_jobs import EarlyJobs, has_spec
from api.executors.slurm.ending import AttemptEnds, may_submit_again, refine, why_ended
from api.executors.slurm.jobs import EARLY_SUFFIX, Job
from api.executors.slurm.notes import JobNote, JobNotes
from api.executors.slurm.reasons import why_leaving, why_pending
from api.executors.slurm.request import describe_job, write_script
from api.executors.slurm.storage_check import StorageChecks, write_mark
from api.executors.slurm.submitter import JobSubmitter
from api.executors.spec import describe
from api.executors.stop_orders import give_order, order_of
from api.util.files.foreign_files import make_directory, read

logger = logging.getLogger(__name__)

#: Seconds to wait for an attempt without job, sign of life and outcome.
ABSENT_SECONDS = 15.0

#: Seconds after the end of a job in which its outcome may still arrive through the file server.
SETTLE_SECONDS = 5.0

#: Seconds after a stop's own time limits until Slurm cancels the job, and between two such attempts.
OVERDUE_SECONDS = 15.0

#: Seconds before the job's time limit at which an attempt starts to save and end.
LEAVE_SECONDS = 345.0


class SlurmExecutor(KeepsLogs):
    """The executor of a cluster. `local` runs the attempts without GPUs; `comment` marks our jobs."""

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
        self._watch = ClusterWatch(cluster, StorageChecks(comment))
        self._local = local
        self._comment = comment
        self._python = python
        self._env = dict(env or {})
        self._settle_seconds = settle_seconds
        self._leave_seconds = leave_seconds
        #: The jobs submitted to Slurm before their attempts exist.
        self.ahead = EarlyJobs(self._watch, comment, python, self._env)
        self._heartbeats = Heartbeats()
        self._ends = AttemptEnds()
        self._without: dict[str, float] = {}  #: by uid: since when (monotonic) an attempt has no job
        self._overdue: dict[str, float] = {}  #: by uid: when (monotonic) Slurm cancels the job of a stop
        self._notes = JobNotes()
        self._submitter = JobSubmitter(self._watch, self.ahead, self._notes.numbers)
        self._is_listed = True

    def nodes(self) -> Sequence[NodeState]:
        return self._watch.nodes()

    def known_nodes(self) -> Sequence[NodeState]:
        """Return the nodes from the latest poll, without a call."""
        return self._watch.known_nodes()

    def poll(self) -> None:
        """Poll the cluster, if the latest poll is old."""
        try:
            self._watch.list_if_due()
        except OSError as error:
            # Logged once: Slurm may be down for hours.
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
        """Submit the attempt as a job.

        Raises OSError; EngineUnavailable if Slurm does not answer; EngineFull or EngineRejected if it rejects the job.
        """
        ref = submission.ref
        if not submission.gpu_uuids and self._note(ref) is None:
            self._local.submit(submission)
            return
        poll = self._watch.poll()
        if poll.problem is not None:
            raise EngineUnavailable(errno.EHOSTUNREACH, poll.problem)
        selected = self._select_job(ref, poll)
        if has_spec(ref.directory) if selected else self._local.observe([ref])[ref.uid].phase is Phase.ENDED:
            return
        make_directory(str(ref.directory))
        make_directory(str(ref.log_directory), levels=2)
        if selected is not None:
            # The early job could use any node with GPUs then; the claim names one node.
            self._bind(selected, submission)
        if self._runner(ref) is None:
            self._describe(submission)
        if selected is not None:
            return
        self._notes.note_job(ref.directory, None)
        write_mark(ref.directory, ref.uid)
        job = describe_job(submission, self._comment, self._env, self._watch.barred())
        number = self._submitter.submit(ref.uid, write_script(self._python, ref.uid, ref.directory), job)
        self._notes.note_job(ref.directory, number)
        self._watch.release(number)

    def _bind(self, selected: Job, submission: Submission) -> None:
        """Restrict an early job to the node where its attempt has claimed GPUs.

        Raises OSError.
        """
        if submission.node is None or not selected.is_pending:
            return
        is_free = submission.cluster_options is not None and submission.cluster_options.features is None
        # For such a constraint only Slurm knows which nodes satisfy it.
        others = {node.name for node in self._watch.nodes()} - selected.excluded if is_free else set[str]()
        self.ahead.set_allowed_nodes(submission.ref.uid, others | {submission.node})

    def _describe(self, submission: Submission) -> None:
        directory = submission.ref.directory
        # Slurm already has a control group for it, which no process can leave.
        spec = describe(submission, submission.node or "", use_cgroup=False)
        write_json(str(directory / "environment.json"), dict(submission.env))
        # Last: a job submitted early starts when this file appears.
        write_json(str(directory / "spec.json"), {**spec, "master_port": submission.master_port})

    def _select_job(self, ref: AttemptRef, poll: ClusterPoll) -> Job | None:
        """Return the attempt's one unfinished job, released and recorded; cancel others of its name.

        Raises OSError.
        """
        noted = self._note(ref)
        if noted is not None and noted.job_id is not None:
            self._watch.add_own_job(noted.job_id, ref.uid)
        live = [job for job in poll.jobs.get(ref.uid, ()) if not job.is_over]
        if not live:
            return None
        started = [job for job in live if not job.is_pending]
        selected = next((job for job in live if noted is not None and job.job_id == noted.job_id), None)
        selected = started[0] if started and (selected is None or selected.is_pending) else selected
        selected = selected or min(live, key=lambda job: job.job_id)
        if noted is None or noted.job_id != selected.job_id:
            self._notes.note_job(ref.directory, selected.job_id)
        for job in live:
            if job is not selected and job.is_pending:
                logger.warning("a second job of an attempt is cancelled", extra={"attempt": ref.uid, "job": job.job_id})
                self._watch.cancel(job)
        if selected.is_held and not self._has_started_already(ref):
            self._watch.release(selected.job_id)
        return selected

    def _has_started_already(self, ref: AttemptRef) -> bool:
        """Return whether a held job already runs, because a crashed controller forgot its start.

        Released again, it would be a duplicate on its node, for which Slurm drains the node.
        """
        return self._runner(ref) is not None and self._heartbeats.measure(ref.directory, None) < ABSENT_SECONDS

    def _note(self, ref: AttemptRef) -> JobNote | None:
        """Return the stored data of its job; None if the attempt is not Slurm's.

        Raises OSError.
        """
        return self._notes.get(ref.directory)

    # Observing

    def observe(self, attempts: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        seen = dict(self._local.observe(attempts))
        poll = self._watch.poll(fresh=True) if attempts else None
        for ref in attempts:
            try:
                if poll is not None and (ref.uid in poll.jobs or self._note(ref) is not None):
                    seen[ref.uid] = self._observe_one(ref, seen[ref.uid], poll)
            except OSError as error:
                reason = f"{ref.directory} cannot be read, or Slurm does not answer: {error.strerror or error}"
                seen[ref.uid] = Observation(Phase.UNKNOWN, "", reason=reason)
        return seen

    def _observe_one(self, ref: AttemptRef, recorded: Observation, poll: ClusterPoll) -> Observation:
        if poll.problem is not None:
            return self._unseen(ref, recorded, poll.problem)
        job = self._select_job(ref, poll)
        if job is None:
            return self._jobless(ref, recorded, poll)
        self._without.pop(ref.uid, None)
        if job.is_pending and recorded.phase is Phase.ENDED:
            # A crashed controller has forgotten that the job ran.
            self._watch.cancel(job)
            return refine(recorded, None, self._note(ref), ref)
        if self.ahead.is_early(job) and not has_spec(ref.directory) and recorded.phase is not Phase.ENDED:
            return Observation(Phase.ABSENT, "", reason="its job was submitted early and waits for it")
        if job.is_pending:
            return Observation(Phase.QUEUED, "", reason=why_pending(job).text)
        self._end_overdue(ref, job)
        leaves = why_leaving(job, time.time(), self._leave_seconds)
        if leaves is not None:
            self._notes.note_leave(ref.directory, *leaves)
        return replace(self._running(ref, job), must_leave=leaves is not None)

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
        """Return the state from the supervisor's own records while Slurm does not answer."""
        quiet = self._heartbeats.measure(ref.directory, None)
        if recorded.phase is Phase.ENDED and quiet >= ABSENT_SECONDS:
            return recorded
        if self._runner(ref) is not None and quiet < ABSENT_SECONDS:
            return replace(self._running(ref, None), reason=problem)
        return Observation(Phase.UNKNOWN, "", reason=problem, age=quiet)

    def _jobless(self, ref: AttemptRef, recorded: Observation, poll: ClusterPoll) -> Observation:
        """Return the observation of an attempt without unfinished jobs: it has ended, or must be submitted."""
        noted = self._note(ref)
        number = None if noted is None else noted.job_id
        job = next((each for each in poll.jobs.get(ref.uid, ()) if each.job_id == number), None)
        if recorded.phase is Phase.ENDED:
            self._forget(ref)
            return refine(recorded, job, noted, ref)
        has_started = self._runner(ref) is not None
        if job is None and number in poll.unread:
            quiet = self._heartbeats.measure(ref.directory, None)
            return Observation(
                Phase.UNKNOWN, "", reason=f"Slurm's data about its job {number} cannot be read", age=quiet
            )
        if job is None and not has_started and number is None:
            return Observation(Phase.ABSENT, "", reason="Slurm has no job of it")
        since = self._without.setdefault(ref.uid, time.monotonic())
        quiet = min(self._heartbeats.measure(ref.directory, None), time.monotonic() - since)
        if quiet < (ABSENT_SECONDS if job is None else self._settle_seconds):
            reason = (
                "Slurm does not know its job" if job is None else "its job has ended; its outcome is not written yet"
            )
            return replace(self._running(ref, None), reason=reason)
        if not has_started and (job is None or may_submit_again(ref, job, noted)):
            self._without.pop(ref.uid, None)
            self._notes.note_loss(ref.directory)
            logger.warning(
                "a job was lost before it started", extra={"attempt": ref.uid, "job": number, "last": str(job)}
            )
            return Observation(Phase.ABSENT, "", reason="Slurm lost its job, or cancelled it before it started")
        is_seen_over = job is not None and not job.was_lost_with_node
        if not self._ends.end(ref.directory, *why_ended(job, ref), is_seen_over=is_seen_over):
            reason = f"a supervisor that may live holds its lock: remove {ref.directory}/lock only if it is dead"
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
        """Order the stop, and cancel waiting jobs.

        Raises OSError.
        """
        if self._note(ref) is None:
            self._local.stop(ref, order)
            return
        give_order(ref.directory, order_of(order), None)
        seconds = order.checkpoint_seconds + order.terminate_seconds + OVERDUE_SECONDS
        self._overdue[ref.uid] = min(self._overdue.get(ref.uid, float("inf")), time.monotonic() + seconds)
        known = self._watch.known_poll()
        jobs = () if known is None else known.jobs.get(ref.uid, ())
        if (known is not None and known.problem is not None) or (jobs and not any(job.is_pending for job in jobs)):
            # Its supervisor has the order, and a user waits for the answer. A job that is seen waiting later is stopped
            # again.
            return
        for job in self._watch.poll(fresh=True).jobs.get(ref.uid, ()):
            if job.is_pending:
                self._watch.cancel(job)

    def prepare_leave(self, ref: AttemptRef, order: StopOrder) -> None:
        """Store the order for a SIGTERM.

        Raises OSError.
        """
        if self._note(ref) is not None:
            write_json(str(ref.directory / LEAVE), order_of(order).as_json())

    def _end_overdue(self, ref: AttemptRef, job: Job) -> None:
        """Let Slurm cancel a job whose supervisor has not ended it in time."""
        if time.monotonic() >= self._overdue.get(ref.uid, float("inf")):
            logger.warning("a job does not stop; Slurm cancels it", extra={"attempt": ref.uid, "job": job.job_id})
            self._watch.cancel(job)
            self._overdue[ref.uid] = time.monotonic() + OVERDUE_SECONDS

    # Details

    def survivors(self, ref: AttemptRef) -> Sequence[int]:
        """Return the pids on this machine; for a job on a node its supervisor's, until the job has ended.

        A node that Slurm has declared lost may have processes left. Its GPUs are not offered before a new reading shows
        none. Raises OSError while Slurm does not answer.
        """
        if self._note(ref) is None:
            return self._local.survivors(ref)
        poll = self._watch.poll()
        if poll.problem is not None:
            raise OSError(poll.problem)
        if all(job.is_over or job.is_pending for job in poll.jobs.get(ref.uid, ())):
            return ()
        runner = self._runner(ref)
        return (0,) if runner is None or runner.supervisor is None else (runner.supervisor.pid,)

    def living(self, root: Path, locate: Locate, uids: Callable[[], Iterable[str]]) -> Sequence[LivingAttempt]:
        here = self._local.living(root, locate, uids)
        known = {each.ref.uid for each in here}
        ours = [
            job
            for jobs in self._watch.poll().jobs.values()
            for job in jobs
            if self._is_ours(job) and not job.is_over and job.name not in known
        ]
        return (*here, *list_orphans(ours, locate))

    def _is_ours(self, job: Job) -> bool:
        return job.comment == self._comment or self.ahead.is_early(job)

    def used_gpus(self, ref: AttemptRef) -> Collection[str] | None:
        # The driver of each machine lists only its own processes.
        return self._local.used_gpus(ref) if self._note(ref) is None else None

    def free_port(self, node: str, held: Collection[int]) -> int:
        """Return a free port of this machine; for another node, one not in `held`. The node may choose another."""
        return min(self._local.free_port(node, held), LAST_PORT)

    def why_queued(self, ref: AttemptRef) -> Reason | None:
        # Users wait for this answer, so it must not depend on a slow cluster.
        poll = self._watch.known_poll()
        pending = [job for job in ([] if poll is None else poll.jobs.get(ref.uid, ())) if job.is_pending]
        return why_pending(min(pending, key=lambda job: job.job_id)) if pending else self._submitter.why(ref.uid)


def list_orphans(jobs: Iterable[Job], locate: Locate) -> Iterator[LivingAttempt]:
    """Yield the attempts of jobs that have our comment.

    Their processes are visible only on their nodes. An early job has no attempt before it is described.
    """
    for job in jobs:
        directory = None if job.is_pending else locate(job.name)
        if directory is None or (job.comment.endswith(EARLY_SUFFIX) and not has_spec(directory)):
            continue
        try:
            described = parse_spec(read(str(directory / "spec.json")))
        except OSError:
            described = None
        gpus = () if described is None else described.gpu_uuids
        log = directory if described is None else Path(described.log_directory)
        yield LivingAttempt(AttemptRef(job.name, directory, log), gpus, None, ())
