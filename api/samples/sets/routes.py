"""Routes of sample sets and workflows."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access.principal import current_principal
from api.domain.samples.sample_set import SampleSet
from api.samples.sets.schemas import (
    ChangeSampleSet,
    CreateSampleSet,
    CreateWorkflow,
    FindNodes,
    SampleSetList,
    SampleSetQuery,
    SetOwnerQuery,
    WorkflowList,
    WorkflowsQuery,
)
from api.samples.sets.views import FoundNodes, SampleSetDeleted, Workflow, WorkflowDeleted
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import earlier_result, idempotent
from api.web.responses import answer, services
from api.web.schemas import PageQuery, envelope_of

sample_sets = APIBlueprint("sample_sets", __name__, url_prefix=f"{BASE_PATH}/sample-sets", tag="Training")
workflows = APIBlueprint("workflows", __name__, url_prefix=f"{BASE_PATH}/workflows", tag="Training")


@sample_sets.get("")
@sample_sets.input(PageQuery, location="query")
@sample_sets.output(envelope_of(SampleSetList))
@sample_sets.doc(responses=[422])
def list_sample_sets(query_data: PageQuery) -> Response:
    """List your sample sets and those that other users share, newest first.

    Each is shown in its newest version. `defaults` has what the built-in workflows render if a set leaves it open.
    """
    page = services().samples.sets.get_page(current_principal.get(), query_data.page())
    defaults = services().samples.sets.defaults()
    return answer({"sample_sets": page.rows, "defaults": defaults, "pagination": page.pagination})


@sample_sets.post("")
@sample_sets.input(CreateSampleSet)
@sample_sets.output(envelope_of(SampleSet), status_code=201)
@sample_sets.doc(responses=[400, 404, 409, 415, 422, 503])
@idempotent
def create_sample_set(json_data: CreateSampleSet) -> Response:
    """Save prompts and settings for samples.

    `{trigger}` in a prompt stands for the trigger word of the training's dataset. A user can have 200 sets.
    """
    given, principal = json_data, current_principal.get()
    if before := earlier_result():
        made = services().samples.sets.get(before.about, None, principal)
    else:
        settings = given.settings(given.seed)
        made = services().samples.sets.add(given.name, settings, given.workflow, shared=given.shared, by=principal)
    return answer(made, 201, "saved", {"Location": f"{BASE_PATH}/sample-sets/{made.name}"})


@sample_sets.get("/<name>")
@sample_sets.input(SampleSetQuery, location="query")
@sample_sets.output(envelope_of(SampleSet))
@sample_sets.doc(responses=[404, 409, 422])
def get_sample_set(name: str, query_data: SampleSetQuery) -> Response:
    """Get a sample set.

    By default its newest version. Versions have the numbers 1 to `latest`, and never change.
    """
    return answer(services().samples.sets.get(name, query_data.version, current_principal.get(), query_data.owner))


@sample_sets.patch("/<name>")
@sample_sets.input(SetOwnerQuery, location="query")
@sample_sets.input(ChangeSampleSet)
@sample_sets.output(envelope_of(SampleSet))
@sample_sets.doc(responses=[400, 404, 409, 415, 422, 503])
def change_sample_set(name: str, query_data: SetOwnerQuery, json_data: ChangeSampleSet) -> Response:
    """Change a sample set.

    Other prompts or settings make a new version. Trainings with automatic samples keep theirs. Only its owner and
    administrators may change a set.
    """
    principal = current_principal.get()
    return answer(services().samples.sets.change(name, json_data.changes(), principal, query_data.owner))


@sample_sets.delete("/<name>")
@sample_sets.input(SetOwnerQuery, location="query")
@sample_sets.output(envelope_of(SampleSetDeleted))
@sample_sets.doc(responses=[404, 409, 422, 503])
def delete_sample_set(name: str, query_data: SetOwnerQuery) -> Response:
    """Delete a sample set with its versions.

    Samples stay, and trainings with automatic samples keep their prompts.
    """
    services().samples.sets.delete(name, current_principal.get(), query_data.owner)
    return answer(SampleSetDeleted(name), message="deleted")


@workflows.get("")
@workflows.input(WorkflowsQuery, location="query")
@workflows.output(envelope_of(WorkflowList))
@workflows.doc(responses=[422])
def list_workflows(query_data: WorkflowsQuery) -> Response:
    """List your workflows and those that other users share, newest first.

    `nodes` has what samples set in them; `/workflows/{workflow_id}` has the workflow itself.
    """
    page = services().samples.workflows.get_page(query_data.model_type, current_principal.get(), query_data.page())
    return answer({"workflows": page.rows, "pagination": page.pagination})


@workflows.post("")
@workflows.input(CreateWorkflow)
@workflows.output(envelope_of(Workflow), status_code=201)
@workflows.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def create_workflow(json_data: CreateWorkflow) -> Response:
    """Register a workflow of ComfyUI.

    The nodes of LoRA, prompt, negative prompt, seed, size and output are found unless `nodes` names them. 422 names
    each missing node. Workflows with addresses or paths are refused. A user can have 100 workflows.
    """
    given, principal = json_data, current_principal.get()
    if before := earlier_result():
        made = services().samples.workflows.get(before.about, principal)
    else:
        places = given.places()
        made = services().samples.workflows.add(
            given.name, given.model_type, given.workflow, places, shared=given.shared, by=principal
        )
    return answer(made, 201, "saved", {"Location": f"{BASE_PATH}/workflows/{made.workflow_id}"})


@workflows.post("/nodes")
@workflows.input(FindNodes)
@workflows.output(envelope_of(FoundNodes))
@workflows.doc(responses=[400, 415, 422])
def find_workflow_nodes(json_data: FindNodes) -> Response:
    """Find the nodes of a workflow that samples set.

    Nothing is saved. `missing` names the nodes without which it cannot be registered.
    """
    return answer(services().samples.workflows.find_nodes(json_data.workflow, json_data.places()))


@workflows.get("/<workflow_id>")
@workflows.output(envelope_of(Workflow))
@workflows.doc(responses=[404])
def get_workflow(workflow_id: str) -> Response:
    """Get a workflow.

    It is in ComfyUI's API format, as it was registered.
    """
    return answer(services().samples.workflows.get(workflow_id, current_principal.get()))


@workflows.delete("/<workflow_id>")
@workflows.output(envelope_of(WorkflowDeleted))
@workflows.doc(responses=[404, 503])
def delete_workflow(workflow_id: str) -> Response:
    """Delete a workflow.

    Samples stay, and trainings with automatic samples keep it. Sample sets that use it need another one.
    """
    deleted = services().samples.workflows.delete(workflow_id, current_principal.get())
    return answer(WorkflowDeleted(deleted.workflow_id), message="deleted")
