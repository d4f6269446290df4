"""Supervise one attempt from its start, or from a takeover, to `exit.json`."""

from __future__ import annotations

import os
import select
import time

from api.util.files.foreign_files import put_aside

from .containment import BIRTH_SECONDS, Containment
from .directory import AttemptDirectory, Superseded, own_identity
from .ended import RunningTime, has_ended, has_outcome
from .inbox import Inbox
from .ledger import Ledger
from .log import CHUNK, LogWriter
from .orders import Spec
from .output import OutputFile, OutputPipe, drain, find_output, make_output
from .output_scanner import OutputScanner
from .processes import Tree, boot_id, is_alive, pid_namespace, reap
from .small_files import complain, error_fields, exit_status_of, identity_of, number, read_json, retry_disk_errors
from .spawning import spawn
from .stop_rungs import Stopping
from .superseded import give_way

#: Exit codes of the supervisor itself; 1 is a crash.
ENDED, LOCK_HELD, SURPASSED = 0, 3, 4

#: after less output than this the supervisor waits a little, so that many short lines do not cost much
SETTLING_BYTES = 16 * 1024
SETTLE_SECONDS = 0.01
RETRY_SECONDS = 1.0
LOOK_SECONDS = 0.05  #: polling interval for output if inotify is not available


class Supervisor:
    """Starts the trainer of one attempt, copies its output, carries out stops and records the outcome.

    The package's docstring lists its files.
    """

    def __init__(self, directory: str, watch: int) -> None:
        self._directory = AttemptDirectory(directory)
        self._inbox = Inbox(self._directory.directory)
        self._watch_handle = watch  # readable when something in the directory changed; -1 if unavailable
        self._boot_id = boot_id()
        self._spec: Spec | None = None
        self._tree = Tree("")
        self._stopping = Stopping(self._tree, 0.0, self._record_if_possible)
        self._scanner = OutputScanner((), "")
        self._log: LogWriter | None = None
        # where this attempt's part of the log starts, according to an earlier supervisor
        self._previous_offset: int | None = None
        self._recorded_offset: int | None = None
        self._containment = Containment(self._directory.directory)
        self._ledger = Ledger(self._directory.path("output.ledger"))
        self._output: OutputFile | OutputPipe | None = None
        self._has_more_output = False
        self._poll = select.poll()
        self._running_time = RunningTime()
        self._status: int | None = None  # of the trainer, as from wait(); None until a supervisor saw it end
        self._is_adopted = self._record_is_due = False
        self._recorded_lost = 0  # bytes of output

    def run(self) -> int:
        """Supervise from the start, or a takeover, to the end. Return the exit code of this process."""
        self._inbox.catch_signals()
        self._poll.register(self._inbox.handle, select.POLLIN)
        lock = retry_disk_errors(self._directory.take_lock)
        if lock < 0:
            # The holder may have ended and removed the secrets just before they were written again.
            if self._directory.has("exit.json"):
                self._directory.remove_secrets()
            return LOCK_HELD
        try:
            return self._run_alone(lock)
        except Superseded:
            give_way(self._directory, self._tree, self._reap)
            return SURPASSED

    def _run_alone(self, lock: int) -> int:
        if retry_disk_errors(self._has_ended):
            self._directory.remove_secrets()
            return ENDED
        self._directory.remove_leftovers()
        self._directory.claim(lock)
        try:
            previous = retry_disk_errors(lambda: read_json(self._directory.path("runner.json")))
        except FileNotFoundError:
            return self._start_afresh()
        except (OSError, ValueError) as error:
            # A start was recorded, and no attempt may ever start twice.
            complain(f"runner.json cannot be read: {error}")
            previous = {"boot_id": self._boot_id}
        return self._take_over(previous)

    def _has_ended(self) -> bool:
        directory = self._directory.directory
        if not has_outcome(directory) or has_ended(directory):
            return has_outcome(directory)
        complain("exit.json was not written by its supervisor and is renamed")
        put_aside(self._directory.path("exit.json"))
        return False

    def _read_spec(self) -> Spec:
        """Read the specification.

        Raises OSError, ValueError.
        """
        self._spec = spec = Spec(retry_disk_errors(lambda: read_json(self._directory.path("spec.json"))))
        self._use_tree(spec.uid, spec.leftover_seconds)
        self._scanner = OutputScanner(spec.phrases, spec.step_prefix)
        self._log = LogWriter(spec.log_directory, spec.log_max_bytes, spec.log_segment_bytes, self._ledger)
        return spec

    def _use_tree(self, uid: str, leftover_seconds: float) -> None:
        self._tree = Tree(uid)
        self._stopping = Stopping(self._tree, leftover_seconds, self._record_if_possible)

    def _use_output(self, output: OutputFile | OutputPipe | None) -> None:
        self._output = output
        if isinstance(output, OutputPipe):
            self._poll.register(output.handle, select.POLLIN)
        elif self._watch_handle >= 0:
            os.set_inheritable(self._watch_handle, False)
            self._poll.register(self._watch_handle, select.POLLIN)

    def _find_output(self) -> None:
        self._use_output(find_output(self._directory.directory, self._ledger, self._tree.main))

    # Starting

    def _start_afresh(self) -> int:
        try:
            spec = self._read_spec()
            self._directory.beat()
            if self._directory.has("stop.json"):
                return self._finish("stopped_before_start")
            given = retry_disk_errors(lambda: read_json(self._directory.path("environment.json")))
            environment = {name: str(value) for name, value in given.items()}
            output = make_output(self._directory.directory, self._ledger)
            self._use_output(output)
            self._open_log()
            self._running_time.begin()
            if spec.may_use_cgroup:
                self._containment.prepare(self._tree)
            self._directory.check_fence()  # a node that was disconnected: the attempt may have started elsewhere
            self._record()
            self._tree.main = self._containment.spawn(
                self._tree, lambda: spawn(spec, environment, output.path, output.flags)
            )
        except (OSError, ValueError) as error:
            return self._finish("could_not_start", error=error)
        self._record_if_possible()
        self._directory.remove_secrets()
        return self._watch("exited")

    def _open_log(self) -> None:
        try:
            if self._log is not None:
                self._log.open()
        except OSError as error:
            complain(f"the log cannot be written yet: {error}")

    @property
    def _log_offset(self) -> int | None:
        """The offset of this attempt's part of the log; None if unknown."""
        return self._previous_offset if self._log is None else self._log.start_of(self._previous_offset)

    # Taking over

    def _take_over(self, previous: dict[str, object]) -> int:
        self._is_adopted = True
        self._directory.raise_fence(number(previous.get("fence")))
        last_beat = self._directory.last_beat()
        try:
            self._read_spec()
        except (OSError, ValueError) as error:
            complain(f"spec.json cannot be read: {error}")
            self._use_tree(str(previous.get("uid") or self._directory.name), 0.0)
        self._directory.remove_secrets()
        self._tree.main = identity_of(previous.get("trainer"))
        self._find_output()
        self._restore(previous)
        is_same_boot = previous.get("boot_id") == self._boot_id
        self._containment.resume(self._tree, previous.get("cgroup"), is_same_boot)
        gone = "supervisor_lost"
        if not is_same_boot:
            # Its pids now belong to other processes. Marked processes still live: a container can have its own boot id.
            gone, self._tree.main = "machine_restarted", None
        if self._tree.main is None:
            self._tree.main = self._tree.find_main()
        if self._tree.main is None:
            return self._finish(gone, ended_at=last_beat if gone == "machine_restarted" else None)
        self._directory.beat()
        if self._output is None:
            self._find_output()
        self._record_if_possible()
        return self._watch("supervisor_lost")

    def _restore(self, previous: dict[str, object]) -> None:
        self._running_time.restore(previous, previous.get("boot_id") == self._boot_id)
        self._status = exit_status_of(previous.get("status"))
        self._stopping.restore(previous)
        self._ledger.lost = max(self._ledger.lost, int(number(previous.get("log_lost_bytes")) or 0))
        self._open_log()
        recorded = number(previous.get("log_offset"))
        self._previous_offset = None if recorded is None else int(recorded)
        offset, tail, first = self._log_offset, b"", self._log_offset
        try:
            if self._log is not None and offset is not None:
                first, tail = self._log.tail(offset)
        except OSError as error:
            complain(f"the log cannot be read: {error}")
        self._scanner.restore(previous.get("phrases"), previous.get("last_step"), tail, first == offset)

    # Running

    def _watch(self, reason: str) -> int:
        """Supervise until no process of the tree is left."""
        chores_at = 0.0
        while True:
            if self._inbox.was_signalled() or time.monotonic() >= chores_at:
                self._reap()
                for order in self._inbox.orders(self._stopping.order):
                    self._stopping.take(order)
                if self._stopping.advance(self._is_main_alive()):
                    return self._finish(reason)
                self._do_chores()
                chores_at = time.monotonic() + self._stopping.pace
            self._containment.observe(self._tree)
            self._take_output(chores_at)

    def _reap(self) -> None:
        for pid, status in reap():
            if self._tree.main is not None and pid == self._tree.main[0]:
                self._status = status
                if status == 0 and self._scanner.seen:
                    self._stopping.shorten()

    def _is_main_alive(self) -> bool:
        if not self._is_adopted:
            return self._status is None
        return self._tree.main is not None and is_alive(*self._tree.main)

    def _do_chores(self) -> None:
        if self._directory.beat_if_due():
            self._recreate_missing_directory()
            self._directory.check_fence()
            self._directory.remove_secrets()
            if self._log is not None:
                self._log.report_losses()
            if self._output is None and self._is_adopted:
                self._find_output()
            recorded = self._recorded_lost, self._recorded_offset
            if self._record_is_due or (self._ledger.lost, self._log_offset) != recorded:
                self._record_if_possible()

    def _recreate_missing_directory(self) -> None:
        """Recreate a directory that was removed or moved, with its record, so that the training continues."""
        if not self._directory.lacks("runner.json") or self._spec is None:
            return
        try:
            self._directory.recreate(self._spec.given)
            self._containment.recreate()
            self._ledger.recreate()
            if self._log is not None:
                self._log.note_taken()
            self._record()
        except OSError as error:
            complain(f"the directory cannot be recreated: {error}")

    def _take_output(self, until: float) -> None:
        """Wait for output or a signal, and copy a limited amount of output."""
        timeout = min(BIRTH_SECONDS, max(0.0, until - time.monotonic()))
        if self._has_more_output:
            timeout = 0.0
        elif self._watch_handle < 0 and not isinstance(self._output, OutputPipe):
            timeout = min(timeout, LOOK_SECONDS)
        if self._watch_handle in [handle for handle, _ in self._poll.poll(timeout * 1000 + 1)]:
            os.read(self._watch_handle, 4096)
        taken, size = 0, CHUNK
        while taken < 8 * CHUNK and size >= 4096:
            size = len(self._take_chunk())
            taken += size
        self._has_more_output = size >= 4096
        if 0 < taken < SETTLING_BYTES:
            time.sleep(SETTLE_SECONDS)

    def _take_chunk(self) -> bytes:
        data = b"" if self._output is None else self._output.take(self._log)
        self._scan(data)
        return data

    def _scan(self, data: bytes) -> None:
        if self._scanner.feed(data) and self._tree.main is not None:
            # Immediately: a later supervisor reads only the end of the log again.
            self._record_if_possible()

    # Records

    def _record(self) -> None:
        """Write `runner.json`.

        Raises OSError.
        """
        main = self._tree.main
        record = {
            "uid": None if self._spec is None else self._spec.uid,
            "fence": self._directory.fence,
            "node": None if self._spec is None else self._spec.given.get("node"),
            "boot_id": self._boot_id,
            "pid_namespace": pid_namespace(),
            "supervisor": own_identity(),
            "trainer": None if main is None else {"pid": main[0], "start": main[1]},
            "phase": "starting" if main is None else self._stopping.phase,
            **self._running_time.as_json(),
            "status": self._status,
            **self._stopping.as_json(),
            "phrases": sorted(self._scanner.seen),
            "last_step": self._scanner.last_step,
            "log_offset": self._log_offset,
            "log_lost_bytes": self._ledger.lost,
            "cgroup": self._containment.path,
        }
        self._directory.write_record(record)
        self._recorded_lost, self._recorded_offset = self._ledger.lost, self._log_offset

    def _record_if_possible(self) -> None:
        """Call `_record`; if the disk does not accept it, retry later."""
        try:
            self._record()
            self._record_is_due = False
        except OSError as error:
            self._record_is_due = True
            complain(f"runner.json cannot be written: {error}")

    def _finish(self, reason: str, error: Exception | None = None, ended_at: float | None = None) -> int:
        """Write the outcome, retrying for as long as the disk does not accept it."""
        if self._status is not None:
            reason = "exited"  # an earlier supervisor saw the end
        ended_at = ended_at or time.time()
        self._take_the_rest()
        self._scanner.finish()
        if self._log is not None:
            self._log.close()
        outcome = self._outcome(reason, error, ended_at)
        self._tidy()
        while self._directory.is_there():
            self._directory.check_fence()
            self._directory.beat()
            try:
                self._directory.write_outcome(outcome)
                break
            except OSError as failure:
                complain(f"exit.json cannot be written: {failure}")
                time.sleep(RETRY_SECONDS)
        self._directory.remove_secrets()
        # Files that could not be removed while the disk did not accept the outcome.
        self._directory.remove_leftovers()
        self._reap()
        return ENDED

    def _take_the_rest(self) -> None:
        if self._output is None and self._is_adopted:
            self._find_output()
        for data in () if self._output is None else drain(self._output, self._log):
            self._scan(data)
            self._directory.beat_if_due()

    def _tidy(self) -> None:
        """Remove everything but the records, before the outcome: no later supervisor would do it."""
        self._record_if_possible()
        self._directory.remove_secrets()
        self._directory.remove_leftovers()
        if self._output is not None:
            self._output.remove()
        self._ledger.remove()
        self._containment.remove()
        if self._spec is not None and self._spec.run_as is not None:
            self._spec.run_as.restore_access()

    def _outcome(self, reason: str, error: Exception | None, ended_at: float) -> dict[str, object]:
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        log = self._log
        return {
            "uid": None if self._spec is None else self._spec.uid,
            "fence": self._directory.fence,
            "reason": reason,
            "exit_code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            **error_fields(error),
            "stop_requested": self._stopping.order is not None or self._directory.has("stop.json"),
            "stop_rung": self._stopping.rung,
            "last_step": self._scanner.last_step,
            "phrases": sorted(self._scanner.seen),
            "started_at": self._running_time.started_at,
            "ended_at": ended_at,
            "seconds": self._running_time.seconds(ended_at),
            "survivors_killed": self._stopping.survivors_killed,
            "log_offset": self._log_offset,
            "log_bytes": 0 if log is None or self._log_offset is None else max(0, log.end - self._log_offset),
            "log_lost_bytes": self._ledger.lost,
        }


def main(directory: str, watch: int = -1) -> int:
    """Supervise the attempt in this directory. Return the exit code.

    `watch` is an inotify handle on the directory, or -1.
    """
    return Supervisor(directory, watch).run()
