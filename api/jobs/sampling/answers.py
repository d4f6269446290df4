"""The parts of ComfyUI's answers that are read. Other fields are ignored; a value of another type is an error."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

#: Ids of prompts. ComfyUI uses UUIDs; they become part of an address.
PromptId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,100}$")]
FileName = Annotated[str, Field(max_length=1000)]


class System(BaseModel):
    """The server itself."""

    comfyui_version: str | None = None


class Stats(BaseModel):
    """The answer of `/system_stats`."""

    system: System


class NodeInputs(BaseModel):
    """The inputs of a node's type, by name."""

    required: dict[str, Any] = {}


class NodeType(BaseModel):
    """The description of a node's type."""

    input: NodeInputs = NodeInputs()
    output_node: bool = False
    python_module: str = "nodes"


class Submitted(BaseModel):
    """The answer of `/prompt`: the id, or why the prompt is refused."""

    prompt_id: PromptId | None = None
    error: dict[str, Any] | str | None = None
    #: An empty list if there are none.
    node_errors: dict[str, "NodeErrors"] | list[Any] | None = None


class NodeErrors(BaseModel):
    """Why a node is refused."""

    errors: list["NodeError"] = []


class NodeError(BaseModel):
    """One reason."""

    message: Any = None
    details: Any = None


class Status(BaseModel):
    """How a prompt ended."""

    status_str: str | None = None
    messages: list[Any] | None = None


class SavedFile(BaseModel):
    """A file that a node saved."""

    filename: FileName
    subfolder: FileName = ""
    type: FileName = ""


class NodeOutput(BaseModel):
    """What the node that saves has saved, by the names that nodes use."""

    images: list[SavedFile] | None = None
    video: list[SavedFile] | None = None
    videos: list[SavedFile] | None = None
    gifs: list[SavedFile] | None = None

    def files(self) -> list[SavedFile]:
        """Return all files."""
        return [each for files in (self.images, self.video, self.videos, self.gifs) for each in files or ()]


class Finished(BaseModel):
    """The history of a prompt. Outputs of other nodes than the one that saves have any form."""

    status: Status | None = None
    outputs: dict[str, Any] = {}


class Queue(BaseModel):
    """The answer of `/queue`. An entry is a list whose second item is the id."""

    queue_running: list[list[Any]] = []
    queue_pending: list[list[Any]] = []

    def ids(self) -> set[str]:
        """Return the ids of running and waiting prompts."""
        return {str(each[1]) for each in (*self.queue_running, *self.queue_pending) if len(each) > 1}


class ComfyLogLine(BaseModel):
    """A line of the log."""

    t: Any = None
    m: Any = None


class ComfyLog(BaseModel):
    """The answer of `/internal/logs/raw`."""

    entries: list[ComfyLogLine] = []


STATS, QUEUE, LOG = TypeAdapter(Stats), TypeAdapter(Queue), TypeAdapter(ComfyLog)
SUBMITTED, SAVED = TypeAdapter(Submitted), TypeAdapter(NodeOutput)
NODE_TYPES, HISTORY = TypeAdapter(dict[str, NodeType]), TypeAdapter(dict[str, Finished])
