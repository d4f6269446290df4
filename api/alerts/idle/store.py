"""Store how far the end of each idle machine is. Every change of the stage is guarded, so that it happens once."""

from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from api.db.database import Database
from api.db.insertion import insert_missing
from api.db.rows import read_code, read_fields, to_seconds
from api.db.tables import idle_ends, tasks
from api.domain.access.audit import note_change
from api.domain.alerts.idle_end import IdleEnd, IdleStage
from api.domain.reason import ReasonOrText, code_of, message_of, text_of
from api.domain.tasks.training import TaskStatus

#: The stages before the action: while it runs and afterwards, rounds do not change the row.
OPEN = (IdleStage.BUSY, IdleStage.IDLE, IdleStage.COUNTDOWN)


class IdleStore:
    """The stored state of one machine."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node
        self._own = idle_ends.c.node == node

    def read(self) -> IdleEnd:
        """Return the state; that of an idle machine if none is stored."""
        with self._database.read() as connection:
            row = connection.execute(select(idle_ends).where(self._own)).one_or_none()
        return IdleEnd() if row is None else _read(row)

    def show(self, stage: IdleStage, boot_id: str, since: datetime | None, ends_at: datetime | None) -> None:
        """Store a stage before the action, and its times, unless a later stage is stored."""
        values = {"stage": stage, "boot_id": boot_id, "idle_since": _seconds(since), "ends_at": _seconds(ends_at)}
        self._change(OPEN, {**values, "problem": None, "problem_code": None}, None)

    def begin(self, now: datetime) -> bool:
        """Store that the action begins now. Return False if a hold, a queued task or another server was faster."""
        queued = select(tasks.c.serial).where(tasks.c.status == TaskStatus.QUEUED).exists()
        return self._change((IdleStage.COUNTDOWN,), {"stage": IdleStage.ENDING}, now, _is_free(now), ~queued)

    def finish(self, problem: ReasonOrText | None, now: datetime, earlier: Collection[IdleStage]) -> bool:
        """Store the outcome, if one of these stages was reached. Return False if it was not."""
        stage = IdleStage.ENDED if problem is None else IdleStage.BLOCKED
        code = code_of(problem)
        values = {
            "stage": stage,
            "ends_at": None,
            "problem": None if problem is None else text_of(problem),
            "problem_code": None if code is None else asdict(code),
        }
        return self._change(earlier, values, now)

    def rearm(self, now: datetime) -> bool:
        """Let the machine end again after new work or another boot."""
        later = (IdleStage.ENDED, IdleStage.BLOCKED, IdleStage.ENDING)
        return self._change(later, {"stage": IdleStage.IDLE, "problem": None, "problem_code": None}, now)

    def hold(
        self, by: str | None, until: datetime | None, now: datetime, check: Callable[[IdleEnd], None] = lambda _: None
    ) -> IdleEnd:
        """Store a hold, or with None end it. A problem is forgotten, so that the machine tries again.

        `check` raises an error if the caller may not replace the state; no other request changes it meanwhile.
        """
        with self._database.write() as connection:
            self._add_missing(connection)
            before = _read(connection.execute(select(idle_ends).where(self._own).with_for_update()).one())
            check(before)
            values: dict[str, Any] = {"held_by": by, "held_until": _seconds(until)}
            if before.stage is IdleStage.BLOCKED:
                values |= {"stage": IdleStage.IDLE, "problem": None, "problem_code": None}
            connection.execute(update(idle_ends).where(self._own).values(**values, changed_at=to_seconds(now)))
            note_change(
                about=self._node,
                before={"held_by": before.held_by, "held_until": _seconds(before.held_until)},
                after={"held_by": by, "held_until": _seconds(until)},
            )
        return self.read()

    def _change(
        self, earlier: Collection[IdleStage], values: dict[str, Any], now: datetime | None, *more: ColumnElement[bool]
    ) -> bool:
        changed = {} if now is None else {"changed_at": to_seconds(now)}
        guarded = update(idle_ends).where(self._own, idle_ends.c.stage.in_(earlier), *more)
        with self._database.write() as connection:
            self._add_missing(connection)
            return connection.execute(guarded.values(**values, **changed)).rowcount == 1

    def _add_missing(self, connection: Connection) -> None:
        row = {"node": self._node, "boot_id": "", "stage": IdleStage.IDLE, "changed_at": 0.0}
        insert_missing(connection, idle_ends, [row])


def _is_free(now: datetime) -> ColumnElement[bool]:
    return or_(idle_ends.c.held_by.is_(None), idle_ends.c.held_until <= to_seconds(now))


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else to_seconds(at)


def _read(row: Any) -> IdleEnd:
    problem = None if row.problem is None else message_of(row.problem, read_code(row.problem_code))
    return read_fields(IdleEnd, row, problem=problem)
