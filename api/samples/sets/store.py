"""Sample sets and workflows in the database."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import read_fields, select_page, to_seconds, to_time
from api.db.saved_tables import sample_set_versions as versions
from api.db.saved_tables import sample_sets as sets
from api.db.saved_tables import workflows
from api.domain.access.audit import note_change
from api.domain.access.principal import Principal
from api.domain.samples.sample_set import SampleSet, SetPrompt
from api.errors import (
    HiddenSampleSet,
    SampleSetAmbiguous,
    SampleSetExists,
    SampleSetNotFound,
    TooManySampleSets,
    TooManyWorkflows,
    WorkflowExists,
    WorkflowNotFound,
)
from api.jobs.sampling.graph import Places
from api.samples.sets.views import MOST_SETS, MOST_VERSIONS, MOST_WORKFLOWS, Workflow, WorkflowNodes
from api.util.http.pagination import Page, PageRequest

#: The owner of what has none. A unique key does not compare NULL.
_NO_OWNER = ""

#: Fields of a set that its versions have.
_CONTENT = ("prompts", "seed", "workflow", "width", "height", "frames", "steps", "strength")

_JOINED = select(sets, versions.c.version, versions.c.content, versions.c.created_at.label("made_at")).join(
    versions, versions.c.sample_set == sets.c.serial
)


@dataclass(frozen=True, slots=True)
class SetName:
    """The name of a set in a request."""

    name: str
    owner: str | None = None  #: only the set of this user; empty: of none


class SampleSetStore:
    """The tables of sample sets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: SampleSet) -> SampleSet:
        """Store a new set. Raises SampleSetExists, TooManySampleSets."""
        owner = new.owner or _NO_OWNER
        row = {
            "name": new.name,
            "owner": owner,
            "shared": new.shared,
            "latest": new.version,
            "created_at": to_seconds(new.created_at),
        }
        try:
            with self._database.write() as connection:
                serial = connection.execute(insert(sets).values(row).returning(sets.c.serial)).scalar_one()
                _insert_version(connection, serial, new)
                # On PostgreSQL, concurrent additions may exceed the limit by a few.
                if _count(connection, sets, sets.c.owner == owner) > MOST_SETS:
                    raise TooManySampleSets(data={"most": MOST_SETS})
                note_change(about=new.name, after=_noted(new))
        except IntegrityError:
            raise SampleSetExists from None
        return new

    def get(self, name: SetName, version: int | None, by: Principal) -> SampleSet:
        """Return a version of a set, by default the newest. Raises SampleSetNotFound, SampleSetAmbiguous."""
        with self._database.read() as connection:
            return _find(connection, _locate(connection, name, by), version)

    def change(
        self, name: SetName, change: Callable[[SampleSet], SampleSet], now: datetime, by: Principal
    ) -> SampleSet:
        """Store what `change` makes of the newest version: a new version if its content differs.

        Raises SampleSetNotFound, SampleSetAmbiguous, SampleSetExists, TooManySampleSets.
        """
        try:
            with self._database.write() as connection:
                # The lock makes changes at the same time follow each other, so that each has its own version.
                serial = _locate(connection, name, by)
                connection.execute(select(sets.c.serial).where(sets.c.serial == serial).with_for_update())
                before = _find(connection, serial, None)
                after = change(before)
                if _content(after) != _content(before):
                    after = replace(after, version=before.latest + 1, latest=before.latest + 1, updated_at=now)
                    if after.version > MOST_VERSIONS:
                        raise TooManySampleSets(data={"most": MOST_VERSIONS})
                    _insert_version(connection, serial, after)
                values = {"name": after.name, "shared": after.shared, "latest": after.latest}
                connection.execute(update(sets).where(sets.c.serial == serial).values(values))
                note_change(about=before.name, before=_noted(before), after=_noted(after))
        except IntegrityError:
            raise SampleSetExists from None
        return after

    def remove(self, name: SetName, verify: Callable[[SampleSet], None], by: Principal) -> None:
        """Delete a set with its versions, unless `verify` raises. Raises SampleSetNotFound, SampleSetAmbiguous."""
        with self._database.write() as connection:
            serial = _locate(connection, name, by)
            connection.execute(select(sets.c.serial).where(sets.c.serial == serial).with_for_update())
            before = _find(connection, serial, None)
            verify(before)
            connection.execute(delete(sets).where(sets.c.serial == serial))
            connection.execute(delete(versions).where(versions.c.sample_set == serial))
            note_change(about=before.name, before=_noted(before))

    def page(self, reader: str | None, request: PageRequest) -> Page[SampleSet]:
        """Return the newest versions of sets, newest set first. With `reader`, only this user's and shared ones."""
        visible = true() if reader is None else or_(sets.c.shared.is_(True), sets.c.owner == reader)
        query = _JOINED.where(versions.c.version == sets.c.latest, visible)
        with self._database.read() as connection:
            return select_page(connection, query, sets.c.serial, request, _read_set)


class WorkflowStore:
    """The table of workflows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: Workflow, places: Places) -> Workflow:
        """Store a new workflow. Raises WorkflowExists, TooManyWorkflows."""
        owner = new.owner or _NO_OWNER
        row = {
            "workflow_id": new.workflow_id,
            "name": new.name,
            "owner": owner,
            "model_type": new.model_type,
            "workflow": dict(new.workflow),
            "nodes": places.as_json(),
            "shared": new.shared,
            "created_at": to_seconds(new.created_at),
        }
        try:
            with self._database.write() as connection:
                connection.execute(insert(workflows).values(row))
                if _count(connection, workflows, workflows.c.owner == owner) > MOST_WORKFLOWS:
                    raise TooManyWorkflows(data={"most": MOST_WORKFLOWS})
                noted = {"name": new.name, "model_type": new.model_type, "shared": new.shared}
                note_change(about=new.workflow_id, after=noted)
        except IntegrityError:
            raise WorkflowExists from None
        return new

    def get(self, workflow_id: str) -> tuple[Workflow, Places]:
        """Return a workflow and its inputs. Raises WorkflowNotFound."""
        with self._database.read() as connection:
            query = select(workflows).where(workflows.c.workflow_id == workflow_id)
            row = connection.execute(query).one_or_none()
        if row is None:
            raise WorkflowNotFound
        return _read_workflow(row), Places.from_json(row.nodes)

    def remove(self, workflow: Workflow) -> None:
        """Delete a workflow. Raises WorkflowNotFound."""
        with self._database.write() as connection:
            mine = workflows.c.workflow_id == workflow.workflow_id
            if connection.execute(delete(workflows).where(mine)).rowcount == 0:
                raise WorkflowNotFound
            note_change(about=workflow.workflow_id, before={"name": workflow.name, "model_type": workflow.model_type})

    def page(self, model_type: str | None, reader: str | None, request: PageRequest) -> Page[Workflow]:
        """Return workflows, newest first. With `reader`, only those of this user and shared ones."""
        visible = true() if reader is None else or_(workflows.c.shared.is_(True), workflows.c.owner == reader)
        is_of_type = true() if model_type is None else workflows.c.model_type == model_type
        query = select(workflows).where(visible, is_of_type)
        with self._database.read() as connection:
            return select_page(connection, query, workflows.c.serial, request, _read_workflow)


def _count(connection: Connection, table: Any, condition: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(condition)) or 0


def _locate(connection: Connection, name: SetName, by: Principal) -> int:
    """Return the serial number of the set that a caller means by a name: the own one, else the shared one.

    A caller who sees all sets may also mean the only other one. Raises SampleSetNotFound, SampleSetAmbiguous.
    """
    found = select(sets.c.serial, sets.c.owner, sets.c.shared).where(sets.c.name == name.name)
    if name.owner is not None:
        found = found.where(sets.c.owner == name.owner)
    rows = connection.execute(found).all()
    visible = [row for row in rows if by.may_see(row.owner or None, bool(row.shared))]
    own = [row for row in visible if row.owner == (by.owner or _NO_OWNER)]
    chosen = own or [row for row in visible if row.shared] or visible
    if not chosen:
        raise (HiddenSampleSet if rows else SampleSetNotFound).named(name.name)
    if len(chosen) > 1:
        raise SampleSetAmbiguous
    serial: int = chosen[0].serial
    return serial


def _find(connection: Connection, serial: int, version: int | None) -> SampleSet:
    wanted = sets.c.latest if version is None else version
    row = connection.execute(_JOINED.where(sets.c.serial == serial, versions.c.version == wanted)).one_or_none()
    if row is None:
        raise SampleSetNotFound  # this version, or the set was deleted meanwhile
    return _read_set(row)


def _insert_version(connection: Connection, serial: int, made: SampleSet) -> None:
    row = {"sample_set": serial, "version": made.version, "content": _content(made)}
    connection.execute(insert(versions).values({**row, "created_at": to_seconds(made.updated_at)}))


def _content(made: SampleSet) -> dict[str, Any]:
    prompts = [asdict(each) for each in made.prompts]
    return {**{name: getattr(made, name) for name in _CONTENT}, "prompts": prompts}


def _noted(made: SampleSet) -> dict[str, Any]:
    """Return the fields of a sample set for the audit log."""
    return {"name": made.name, "shared": made.shared, "version": made.version}


def _read_set(row: Row[Any]) -> SampleSet:
    content = dict(row.content)
    return SampleSet(
        name=row.name,
        version=row.version,
        latest=row.latest,
        prompts=tuple(SetPrompt(**each) for each in content.pop("prompts")),
        **content,
        shared=bool(row.shared),
        owner=row.owner or None,
        created_at=to_time(row.created_at),
        updated_at=to_time(row.made_at),
    )


def _read_workflow(row: Row[Any]) -> Workflow:
    nodes = WorkflowNodes.of(Places.from_json(row.nodes))
    return read_fields(Workflow, row, nodes=nodes, owner=row.owner or None)
