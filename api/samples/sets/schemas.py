"""Schemas of requests about sample sets and workflows, and of their answers."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue

from api.domain.samples.sample_set import SampleSet, SetPrompt, SetSettings
from api.samples.sets.views import (
    SET_NAME,
    WORKFLOW_ID,
    SetDefaults,
    WorkflowRow,
)
from api.util.http.pagination import Pagination
from api.util.http.validation import NO_NUL, ONE_LINE, Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import Change, PageQuery, Shown, whole

#: Limits of a set, and the largest seed that every client reads exactly.
MOST_PROMPTS, MOST_TEXT, MOST_SEED = 64, 10_000, 2**53 - 1

Seed = Annotated[int, Field(ge=0, le=MOST_SEED), BeforeValidator(whole)]
Side = Annotated[int, Field(ge=16, le=8192), BeforeValidator(whole)]
Number = Annotated[int, Field(ge=1, le=1000), BeforeValidator(whole)]
Text = Annotated[str, Field(max_length=MOST_TEXT, pattern=NO_NUL)]
SetName = Annotated[str, Field(pattern=SET_NAME)]
WorkflowId = Annotated[str, Field(pattern=WORKFLOW_ID)]
ModelTypeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]

_PROMPTS: JsonValue = [{"text": "a photo of {trigger} on the beach"}, {"text": "a photo of a cat", "seed": 7}]
_TEXT = "what the picture shows; {trigger} stands for the trigger word of the training's dataset"
_SHARED = "whether all users see it"


class SamplePrompt(Strict):
    """One prompt."""

    model_config = ConfigDict(strict=True)

    text: Text = Field(min_length=1, description=_TEXT)
    negative: Text | None = Field(None, description="what it must not show; null: the workflow's own text")
    seed: Seed | None = Field(None, description="of this prompt; null: that of the set")

    def prompt(self) -> SetPrompt:
        """Convert the prompt of a request."""
        return SetPrompt(self.text, self.negative, self.seed)


class SetFields(Strict):
    """The prompts and settings of a set. The same ones give the same pictures."""

    model_config = ConfigDict(strict=True)

    prompts: list[SamplePrompt] = Field(min_length=1, max_length=MOST_PROMPTS, description="the columns of the grid")
    width: Side | None = Field(None, description="pixels; null: the workflow's")
    height: Side | None = Field(None, description="pixels; null: the workflow's")
    frames: Number | None = Field(None, description="frames of a clip; null: the workflow's")
    steps: Number | None = Field(None, description="sampling steps; null: the workflow's")
    strength: float = Field(1.0, ge=-10, le=10, description="of the LoRA; 1 is the trained strength")

    def settings(self, seed: int | None) -> SetSettings:
        """Return the prompts and settings for the services."""
        given = {name: getattr(self, name) for name in ("width", "height", "frames", "steps", "strength")}
        return SetSettings(tuple(each.prompt() for each in self.prompts), seed, **given)


class CreateSampleSet(SetFields):
    """A sample set to save."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"name": "portraits", "prompts": _PROMPTS, "seed": 1}}
    )

    name: SetName = Field(description="unique among your sets, and among the shared ones")
    seed: Seed | None = Field(None, description="of prompts without their own; null: 1, so that pictures compare")
    workflow: WorkflowId | None = Field(
        None, description="id of a registered workflow; null: the built-in one of the model type"
    )
    shared: bool = Field(False, description=_SHARED)


class ChangeSampleSet(Change):
    """Changes of a sample set. Omitted fields stay."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"shared": True}})

    name: SetName | None = Field(None, description="the new name; null: it stays")
    prompts: list[SamplePrompt] | None = Field(
        None, min_length=1, max_length=MOST_PROMPTS, description="replaces all prompts; null: they stay"
    )
    seed: Seed | None = Field(None, description="of prompts without their own; null: it stays")
    workflow: WorkflowId | None = Field(None, description="id of a registered workflow; null: the built-in one")
    width: Side | None = Field(None, description="pixels; null: the workflow's")
    height: Side | None = Field(None, description="pixels; null: the workflow's")
    frames: Number | None = Field(None, description="frames of a clip; null: the workflow's")
    steps: Number | None = Field(None, description="sampling steps; null: the workflow's")
    strength: float | None = Field(None, ge=-10, le=10, description="of the LoRA; null: it stays")
    shared: bool | None = Field(None, description=f"{_SHARED}; null: it stays")

    def changes(self) -> dict[str, Any]:
        """Return the new values of the given fields."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if given.get("prompts") is not None:
            given["prompts"] = tuple(each.prompt() for each in self.prompts or ())
        return {name: value for name, value in given.items() if value is not None or name in _NULLABLE}


#: Fields that null changes.
_NULLABLE = frozenset({"workflow", "width", "height", "frames", "steps"})


class SetOwnerQuery(Strict):
    """The owner of a sample set whose name several users have."""

    owner: str | None = Field(
        None, max_length=64, pattern=NO_NUL, description="whose set; default: yours, else the shared one of this name"
    )


class SampleSetQuery(SetOwnerQuery):
    """Query parameters that select a version."""

    version: int | None = Field(None, ge=1, le=10**9, description="number of a version; default: the newest")


class NodeInputBody(Strict):
    """An input of a node."""

    model_config = ConfigDict(strict=True)

    node: str = Field(min_length=1, max_length=100, description="id of the node")
    input: str = Field(min_length=1, max_length=100, description="name of its input")


_Inputs = Annotated[list[NodeInputBody], Field(max_length=20)]


class NodesBody(Strict):
    """The nodes of a workflow that samples set. Those that are omitted are found."""

    model_config = ConfigDict(strict=True)

    lora: list[Annotated[str, Field(min_length=1, max_length=100)]] | None = Field(
        None, max_length=20, description="ids of the nodes that load the LoRA"
    )
    output: str | None = Field(None, min_length=1, max_length=100, description="id of the node that saves the picture")
    prompt: _Inputs | None = Field(None, description="the inputs of the prompt's text")
    negative: _Inputs | None = Field(None, description="the inputs of the negative prompt's text")
    seed: _Inputs | None = Field(None, description="the inputs of the seed")
    width: _Inputs | None = Field(None, description="the inputs of the width")
    height: _Inputs | None = Field(None, description="the inputs of the height")
    frames: _Inputs | None = Field(None, description="the inputs of the number of frames")
    steps: _Inputs | None = Field(None, description="the inputs of the number of sampling steps")

    def places(self) -> dict[str, Any]:
        """Return the given places for the service."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {
            name: value if name in ("lora", "output") else [(each.node, each.input) for each in value]
            for name, value in given.items()
            if value
        }


class WorkflowBody(Strict):
    """A workflow of ComfyUI."""

    model_config = ConfigDict(strict=True)

    workflow: dict[str, Any] = Field(description='in API format: in ComfyUI choose "Export (API)"; it loads a LoRA')
    nodes: NodesBody | None = Field(None, description="nodes that samples set; null: they are found")

    def places(self) -> dict[str, Any] | None:
        """Return the given places for the service."""
        return None if self.nodes is None else self.nodes.places()


class CreateWorkflow(WorkflowBody):
    """A workflow to register."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"example": {"name": "Upscaled", "model_type": "flux", "workflow": {"1": {}}}},
    )

    name: Annotated[
        str,
        Field(min_length=1, max_length=100, pattern=ONE_LINE, description="unique among the workflows of its owner"),
        AfterValidator(mask_secrets),
    ]
    model_type: ModelTypeName = Field(description="the type of the trainings that may use it")
    shared: bool = Field(False, description=_SHARED)


class FindNodes(WorkflowBody):
    """A workflow whose nodes are to be found."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"workflow": {"1": {}}}})


class WorkflowsQuery(PageQuery):
    """The page of workflows."""

    model_type: ModelTypeName | None = Field(None, description="only those of this type")


class SampleSetList(Shown):
    """A page of sample sets, newest first."""

    sample_sets: list[SampleSet]
    #: what the built-in workflow of each model type renders if a set leaves it open
    defaults: list[SetDefaults]
    pagination: Pagination


class WorkflowList(Shown):
    """A page of workflows, newest first."""

    workflows: list[WorkflowRow]
    pagination: Pagination
