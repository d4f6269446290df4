"""The use cases of sample sets and workflows: users save, share and change them, and samples use them."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.domain.access.principal import Principal
from api.domain.finding import REFUSED, make_finding
from api.domain.reason import Reason
from api.domain.samples.sample_set import RequestedSamples, SampleOrder, SampleSet, SamplingSpec, SetSettings
from api.errors import (
    HiddenWorkflow,
    Invalid,
    NotYours,
    SampleSetNotFound,
    WorkflowNotFound,
)
from api.jobs.sampling.graph import Places, WorkflowProblem, check_places, read_graph, search_places
from api.jobs.sampling.workflows import RECIPES
from api.samples.sets.store import SampleSetStore, SetName, WorkflowStore
from api.samples.sets.views import (
    SEED,
    SET_NAME,
    WORKFLOW_ID,
    FoundNodes,
    MissingNode,
    SetDefaults,
    Workflow,
    WorkflowNodes,
    WorkflowRow,
)
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.http.pagination import Page, PageRequest
from api.util.http.validation import excess

#: Limits on the number and depth of values in a workflow, far above those of a large one.
_MOST_VALUES, _MOST_DEPTH = 20_000, 32


class WorkflowService:
    """Registered workflows. A workflow belongs to its owner; others see it only if it is shared."""

    def __init__(self, store: WorkflowStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def get_page(self, model_type: str | None, by: Principal, page: PageRequest) -> Page[WorkflowRow]:
        """Return the workflows that a user sees, newest first."""
        return self._store.page(model_type, by.reader, page).map(lambda row: copy_fields(WorkflowRow, row))

    def get(self, workflow_id: str, by: Principal) -> Workflow:
        """Return a workflow. Raises WorkflowNotFound, also if the user may not see it."""
        return self._find(workflow_id, by)[0]

    def find_nodes(self, workflow: Mapping[str, Any], nodes: Mapping[str, Any] | None) -> FoundNodes:
        """Return the nodes of a workflow that samples set, and those that are missing. Raises Invalid."""
        _, places, missing = _read(workflow, nodes, "/workflow")
        return FoundNodes(
            WorkflowNodes.of(places), tuple(MissingNode(field, why.text) for field, why in missing.items())
        )

    def add(
        self,
        name: str,
        model_type: str,
        workflow: Mapping[str, Any],
        nodes: Mapping[str, Any] | None,
        *,
        shared: bool,
        by: Principal,
    ) -> Workflow:
        """Register a workflow. Raises Invalid with every missing node, WorkflowExists, TooManyWorkflows."""
        graph, places, missing = _read(workflow, nodes, "/workflow")
        if missing:
            raise Invalid(
                mistakes=[make_finding(f"/nodes/{field}", REFUSED, why=why) for field, why in missing.items()]
            )
        new = Workflow(
            workflow_id=secrets.token_hex(16),
            name=name,
            model_type=model_type,
            nodes=WorkflowNodes.of(places),
            shared=shared,
            owner=by.owner,
            created_at=self._clock.now(),
            workflow=graph,
        )
        return self._store.add(new, places)

    def delete(self, workflow_id: str, by: Principal) -> Workflow:
        """Delete a workflow and return it. Raises WorkflowNotFound, NotYours."""
        found = self.get(workflow_id, by)
        if not by.may_change(found.owner):
            raise NotYours("This workflow belongs to another user. Only its owner and administrators may delete it.")
        self._store.remove(found)
        return found

    def spec(self, settings: SetSettings, workflow: Any, by: Principal, pointer: str) -> SamplingSpec:
        """Return the spec of a rendering. `workflow` is an id, a workflow in API format, or None for the built-in one.

        Raises WorkflowNotFound, Invalid.
        """
        if workflow is None:
            return SamplingSpec(settings)
        if isinstance(workflow, str):
            found, places = self._find(workflow, by)
            return SamplingSpec(settings, found.workflow, places.as_json(), found.model_type)
        graph, places, missing = _read(workflow, None, pointer)
        if missing:
            raise Invalid(mistakes=[make_finding(pointer, REFUSED, why=why) for why in missing.values()])
        return SamplingSpec(settings, graph, places.as_json())

    def _find(self, workflow_id: str, by: Principal) -> tuple[Workflow, Places]:
        if not re.fullmatch(WORKFLOW_ID, workflow_id):
            raise WorkflowNotFound
        found, places = self._store.get(workflow_id)
        if not by.may_see(found.owner, found.shared):
            raise HiddenWorkflow
        return found, places


class SampleSetService:
    """Sample sets. A set belongs to its owner; others see it only if it is shared."""

    def __init__(self, store: SampleSetStore, workflows: WorkflowService, clock: Clock) -> None:
        self._store = store
        self._workflows = workflows
        self._clock = clock

    def get_page(self, by: Principal, page: PageRequest) -> Page[SampleSet]:
        """Return the newest versions of the sets that a user sees, newest set first."""
        return self._store.page(by.reader, page)

    def defaults(self) -> tuple[SetDefaults, ...]:
        """Return the default settings of the built-in workflows."""
        return tuple(
            SetDefaults(name, each.width, each.height, each.frames, each.steps) for name, each in RECIPES.items()
        )

    def get(self, name: str, version: int | None, by: Principal, owner: str | None = None) -> SampleSet:
        """Return a version of a set, by default the newest.

        A name means the caller's own set, else the shared one; `owner` selects that of another user.
        Raises SampleSetNotFound, also for a hidden set, SampleSetAmbiguous.
        """
        return self._store.get(_set_name(name, owner), version, by)

    def add(self, name: str, settings: SetSettings, workflow: str | None, *, shared: bool, by: Principal) -> SampleSet:
        """Save a set. Raises WorkflowNotFound, SampleSetExists, TooManySampleSets."""
        self._require_workflow(workflow, by)
        now = self._clock.now()
        seed = SEED if settings.seed is None else settings.seed
        new = copy_fields(
            SampleSet,
            settings,
            name=name,
            version=1,
            latest=1,
            seed=seed,
            workflow=workflow,
            shared=shared,
            owner=by.owner,
            created_at=now,
            updated_at=now,
        )
        return self._store.add(new)

    def change(self, name: str, changes: Mapping[str, Any], by: Principal, owner: str | None = None) -> SampleSet:
        """Change a set; other prompts or settings make a new version.

        Raises NotYours, WorkflowNotFound, SampleSetExists, TooManySampleSets, and the errors of `get`.
        """
        named = _set_name(name, owner)
        if "workflow" in changes:
            self._require_workflow(changes["workflow"], by)

        def apply(before: SampleSet) -> SampleSet:
            _require_own(before, by)
            return replace(before, **changes)

        return self._store.change(named, apply, self._clock.now(), by)

    def delete(self, name: str, by: Principal, owner: str | None = None) -> None:
        """Delete a set. Trainings that use it keep its prompts. Raises NotYours, and the errors of `get`."""
        self._store.remove(_set_name(name, owner), lambda before: _require_own(before, by), by)

    def spec(self, reference: str, by: Principal) -> tuple[SampleSet, SamplingSpec]:
        """Return a set by `name` or `name@version`, and what its rendering needs.

        Raises SampleSetNotFound, WorkflowNotFound.
        """
        name, at, text = reference.partition("@")
        if at and not re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII):
            raise SampleSetNotFound(f'"{text[:80]}" is not a version: use the number of one, as in {name[:100]}@2.')
        found = self.get(name, int(text) if at else None, by)
        try:
            return found, self._workflows.spec(found.settings, found.workflow, by, "")
        except WorkflowNotFound:
            raise WorkflowNotFound(
                f"The workflow of the sample set {found.name} was deleted, or is not shared: choose another one in the"
                " set."
            ) from None

    def order(self, requested: RequestedSamples, by: Principal) -> SampleOrder:
        """Return the automatic samples of a request. Raises SampleSetNotFound, WorkflowNotFound."""
        found, spec = self.spec(requested.sample_set, by)
        return SampleOrder(found.name, found.version, requested.every, requested.trigger, spec)

    def _require_workflow(self, workflow: str | None, by: Principal) -> None:
        if workflow is not None:
            self._workflows.get(workflow, by)


def _read(
    workflow: Any, nodes: Mapping[str, Any] | None, pointer: str
) -> tuple[dict[str, dict[str, Any]], Places, dict[str, Reason]]:
    """Return a checked workflow, its inputs, and why required ones are missing. `nodes` replaces what is found.

    Raises Invalid.
    """
    too_much = excess(workflow, depth=_MOST_DEPTH, count=_MOST_VALUES)
    if too_much is not None:
        raise Invalid(mistakes=[make_finding(pointer, REFUSED, why=too_much)])
    try:
        graph = read_graph(workflow)
    except WorkflowProblem as problem:
        raise Invalid(mistakes=[make_finding(pointer, REFUSED, why=problem.reason)]) from None
    places, missing = search_places(graph)
    given = {name: value for name, value in (nodes or {}).items() if value}
    if not given:
        return graph, places, missing
    places = Places.from_json({**places.as_json(), **given})
    missing = {field: message for field, message in missing.items() if field not in given}
    try:
        if not missing:
            check_places(graph, places)
    except WorkflowProblem as problem:
        raise Invalid(mistakes=[make_finding("/nodes", REFUSED, why=problem.reason)]) from None
    return graph, places, missing


def _set_name(name: str, owner: str | None) -> SetName:
    if not re.fullmatch(SET_NAME, name):
        raise SampleSetNotFound.named(name)
    return SetName(name, owner)


def _require_own(found: SampleSet, by: Principal) -> None:
    if not by.may_change(found.owner):
        raise NotYours("This sample set belongs to another user. Only its owner and administrators may change it.")
