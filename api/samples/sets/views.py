"""Workflows and what is found in them, as the API shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.jobs.sampling.graph import Places

#: Maximum number of sets and of workflows of one user, and of versions of a set.
MOST_SETS, MOST_WORKFLOWS, MOST_VERSIONS = 200, 100, 1_000

#: The seed of sets without their own, so that a set always gives the same pictures.
SEED = 1

SET_NAME = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$"
WORKFLOW_ID = r"^[0-9a-f]{32}$"


@dataclass(frozen=True, slots=True)
class NodeInput:
    """An input of a node in a workflow."""

    node: str  #: id of the node
    input: str  #: name of its input


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowNodes:
    """The nodes and inputs of a workflow that samples set. An empty list means that the workflow's value stays."""

    lora: tuple[str, ...]  #: ids of the nodes that load the LoRA
    output: str | None  #: id of the node that saves the picture or clip; null if it was not found
    prompt: tuple[NodeInput, ...]  #: the inputs of the prompt's text
    negative: tuple[NodeInput, ...]  #: the inputs of the negative prompt's text
    seed: tuple[NodeInput, ...]  #: the inputs of the seed
    width: tuple[NodeInput, ...]  #: the inputs of the width
    height: tuple[NodeInput, ...]  #: the inputs of the height
    frames: tuple[NodeInput, ...]  #: the inputs of the number of frames
    steps: tuple[NodeInput, ...]  #: the inputs of the number of sampling steps

    @classmethod
    def of(cls, places: Places) -> "WorkflowNodes":
        """Return the nodes of places."""
        inputs = {
            name: tuple(NodeInput(*each) for each in getattr(places, name))
            for name in ("prompt", "negative", "seed", "width", "height", "frames", "steps")
        }
        return cls(lora=places.lora, output=places.output or None, **inputs)


@dataclass(frozen=True, slots=True)
class MissingNode:
    """A node that was not found in a workflow."""

    field: str  #: lora, output, prompt or seed
    message: str  #: what to add or to name


@dataclass(frozen=True, slots=True)
class FoundNodes:
    """What was found in a workflow that is not saved."""

    nodes: WorkflowNodes  #: those that were found
    missing: tuple[MissingNode, ...]  #: empty if the workflow can be registered


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A registered workflow in a list."""

    workflow_id: str  #: its id
    name: str  #: unique among the workflows of its owner
    model_type: str  #: the only type of trainings that may use it
    nodes: WorkflowNodes  #: what samples set in it
    shared: bool  #: whether all users see it; only its owner and administrators may delete it
    owner: str | None  #: null if the service had no keys
    created_at: datetime  #: when it was registered


@dataclass(frozen=True, slots=True)
class Workflow(WorkflowRow):
    """A registered workflow."""

    workflow: Mapping[str, Any]  #: in ComfyUI's API format


@dataclass(frozen=True, slots=True)
class SampleSetDeleted:
    """The deleted sample set."""

    name: str  #: its name


@dataclass(frozen=True, slots=True)
class WorkflowDeleted:
    """The deleted workflow."""

    workflow_id: str  #: its id


@dataclass(frozen=True, slots=True)
class SetDefaults:
    """What the built-in workflow of a model type renders if a set leaves it open."""

    model_type: str  #: flux, wan, …
    width: int  #: pixels
    height: int  #: pixels
    frames: int | None  #: frames of a clip; null: it makes pictures
    steps: int  #: sampling steps
