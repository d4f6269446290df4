"""Workflows of ComfyUI in API format: find their inputs, fill them, and check them against a server's nodes.

A graph maps node ids to `{"class_type": …, "inputs": {…}}`. An input is a value, or a link `[node id, output index]`.
"""

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from api.domain.reason import Reason

Graph = Mapping[str, Mapping[str, Any]]

#: Limits of a workflow: nodes, and bytes of its JSON.
MOST_NODES, MOST_BYTES = 500, 512 * 1024

#: Characters of a node's type, which is searched once for each of its inputs.
_MOST_KIND = 200

_LORA_NODES = ("LoraLoaderModelOnly", "LoraLoader")
#: Nodes whose files are pictures or clips; of the other output nodes, none is needed for samples.
_OUTPUT_NODES = ("SaveImage", "SaveAnimatedWEBP", "SaveAnimatedPNG", "SaveWEBM", "SaveVideo", "VHS_VideoCombine")
_SEED_INPUTS = ("seed", "noise_seed")
_STEP_NODES = ("KSampler", "KSamplerAdvanced", "BasicScheduler", "LTXVScheduler", "Flux2Scheduler")
_TEXT_INPUTS = ("text", "prompt", "user_prompt", "t5xxl", "clip_l")
#: Nodes that turn a text into a conditioning, and the names of their texts. Other texts may name files or hosts.
_TEXT_NODE = re.compile(r"encode|prompt", re.IGNORECASE)
_TEXT_NAME = re.compile(r"(?:[a-z]+_)?(?:text|prompt)(?:_[a-z0-9]{1,2})?|t5xxl|mt5xl|bert|llama|clip_[lg]")
_POSITIVE_INPUTS, _NEGATIVE_INPUTS = ("positive", "conditioning"), ("negative",)
_STRENGTH_INPUTS = ("strength_model", "strength_clip")

#: Modules of ComfyUI's own nodes. Those of `comfy_api_nodes` send data to paid services, so they are not among them.
_CORE_MODULE, _CORE_PACKAGE = "nodes", "comfy_extras."


#: A line with an address, an absolute path, or a path that leads upwards.
_PLACE_NAME = re.compile(
    r":[/\\]"
    r"|^\W*(?:[A-Za-z]|file|data|ftps?|https?):"
    r"|^[\s\x00\"'(\[{<]*[/~\\]"
    r"|[\s\x00\"'=,;|(\[{<](?:/|\\|~[/\\])(?=\w)"
    r"|(?<![\w.])\.\.(?:[/\\]|$)",
    re.IGNORECASE,
)


class WorkflowProblem(ValueError):
    """A workflow cannot be used for samples. The reason says why, and what to do."""

    def __init__(self, reason: Reason) -> None:
        """Create it from the reason."""
        super().__init__(reason.text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Places:
    """The inputs of a workflow that samples set, each as `[node id, input name]`."""

    lora: tuple[str, ...]  #: the nodes that load the LoRA
    output: str  #: the node that saves the picture or clip
    prompt: tuple[tuple[str, str], ...]
    seed: tuple[tuple[str, str], ...]
    negative: tuple[tuple[str, str], ...] = ()
    width: tuple[tuple[str, str], ...] = ()
    height: tuple[tuple[str, str], ...] = ()
    frames: tuple[tuple[str, str], ...] = ()
    steps: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the mapping that `from_json` reads."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Places":
        """Return the places of a mapping. Raise KeyError, TypeError or ValueError if it has another form."""
        inputs = {name: tuple((str(node), str(key)) for node, key in stored.get(name, ())) for name in _INPUT_FIELDS}
        return cls(lora=tuple(map(str, stored["lora"])), output=str(stored["output"]), **inputs)


_INPUT_FIELDS = ("prompt", "seed", "negative", "width", "height", "frames", "steps")
_TEXT_FIELDS = ("prompt", "negative")


@dataclass(frozen=True, slots=True)
class Values:
    """What one sample sets in a workflow. None leaves the workflow's own value."""

    lora: str  #: the file's name as the server lists it
    strength: float
    prompt: str
    negative: str | None
    seed: int
    prefix: str  #: of the file that the server saves
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None


def read_graph(value: Any) -> dict[str, dict[str, Any]]:
    """Return a checked copy of a workflow in API format. Raise WorkflowProblem."""
    if isinstance(value, Mapping) and isinstance(value.get("nodes"), list):
        raise WorkflowProblem(
            Reason.of(
                'It is in the format of the editor. In ComfyUI choose "Export (API)" and send that file.',
                "workflow_of_editor",
            )
        )
    if not isinstance(value, Mapping) or not value:
        raise WorkflowProblem(Reason.of("It is no workflow: expected an object with nodes by id.", "no_workflow"))
    if len(value) > MOST_NODES or len(json.dumps(value)) > MOST_BYTES:
        raise WorkflowProblem(
            Reason.of(
                "It is too large: at most {nodes} nodes and {kb} KB.",
                "workflow_too_large",
                nodes=MOST_NODES,
                kb=MOST_BYTES // 1024,
            )
        )
    graph: dict[str, dict[str, Any]] = {}
    for node_id, node in value.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        kind = node.get("class_type") if isinstance(node, Mapping) else None
        if not isinstance(kind, str) or len(kind) > _MOST_KIND or not isinstance(inputs, Mapping):
            raise WorkflowProblem(
                Reason.of(
                    "Node {node} has no inputs, or no class_type of at most {most} characters.",
                    "workflow_node_invalid",
                    node=f"{node_id!r:.40}",
                    most=_MOST_KIND,
                )
            )
        graph[str(node_id)] = {"class_type": kind, "inputs": copy.deepcopy(dict(inputs))}
    for node_id, node in graph.items():
        _check_inputs(graph, node_id, node)
    return graph


def _check_inputs(graph: Graph, node_id: str, node: Mapping[str, Any]) -> None:
    for name, (source, _) in _links(node):
        if source not in graph:
            raise WorkflowProblem(
                Reason.of(
                    'Node {node} links "{name}" to the missing node {source}.',
                    "workflow_link_broken",
                    node=node_id,
                    name=name,
                    source=source,
                )
            )
    for name, value in node["inputs"].items():
        # Samples replace the texts of prompts; no other input of a picture names a place.
        if not _is_text_input(node, name) and any(map(_names_place, _texts_within(value))):
            raise WorkflowProblem(
                Reason.of(
                    'Node {node} ({kind}) names an address or a path outside of ComfyUI in "{name}": remove it.',
                    "workflow_names_place",
                    node=node_id,
                    kind=node["class_type"],
                    name=f"{name:.40}",
                )
            )


def _texts_within(value: Any) -> Iterator[str]:
    """Yield all texts of an input, also nested ones and keys."""
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            rest += [*each, *each.values()]
        elif isinstance(each, list):
            rest += each


def _names_place(text: str) -> bool:
    return any(_PLACE_NAME.search(line) for line in text.splitlines())


def _is_text_input(node: Mapping[str, Any], name: str) -> bool:
    """Return whether an input is the prompt of a node that encodes it."""
    value = node["inputs"].get(name)
    is_text = isinstance(value, str) or _is_link(value)
    return is_text and bool(_TEXT_NAME.fullmatch(name) and _TEXT_NODE.search(node["class_type"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _loads_lora(node: Mapping[str, Any]) -> bool:
    return "lora" in node["class_type"].lower() and "lora_name" in node["inputs"]


def find_places(graph: Graph) -> Places:
    """Return the inputs that samples set. Raise WorkflowProblem if the LoRA, prompt, seed or output is missing."""
    places, missing = search_places(graph)
    for problem in missing.values():
        raise WorkflowProblem(problem)
    return places


def search_places(graph: Graph) -> tuple[Places, dict[str, Reason]]:
    """Return the inputs that samples set, as far as they are found, and why the others are missing, by field."""
    lora = tuple(node_id for node_id, node in graph.items() if node["class_type"] in _LORA_NODES and _loads_lora(node))
    outputs = [node_id for node_id, node in graph.items() if node["class_type"] in _OUTPUT_NODES]
    prompt, negative = _texts(graph, _POSITIVE_INPUTS), _texts(graph, _NEGATIVE_INPUTS)
    numbers = list(_numbers(graph))
    seed = tuple((node_id, name) for node_id, name in numbers if name in _SEED_INPUTS)
    missing = {}
    if not lora:
        missing["lora"] = Reason.of(
            "It loads no LoRA: add a node LoraLoaderModelOnly behind the model's loader.", "workflow_without_lora"
        )
    if not outputs:
        missing["output"] = Reason.of(
            "It saves nothing: add a node SaveImage or SaveAnimatedWEBP.", "workflow_without_output"
        )
    elif len(outputs) > 1:
        missing["output"] = Reason.of("It saves several pictures: keep one of the nodes that save.", "workflow_outputs")
    if not prompt:
        missing["prompt"] = Reason.of(
            "Its prompt was not found: name its node and input in `nodes`.", "workflow_without_prompt"
        )
    if not seed:
        missing["seed"] = Reason.of(
            "Its seed was not found: name its node and input in `nodes`.", "workflow_without_seed"
        )
    sizes = [each for each in numbers if "Latent" in graph[each[0]]["class_type"]]
    positive = set(prompt)
    found = Places(
        # With several loaders, only the last one of each model is ours, and the others are the workflow's own.
        lora=lora[:1],
        output=outputs[0] if len(outputs) == 1 else "",
        prompt=prompt,
        seed=seed,
        negative=tuple(each for each in negative if each not in positive),
        width=tuple((node_id, name) for node_id, name in sizes if name == "width"),
        height=tuple((node_id, name) for node_id, name in sizes if name == "height"),
        frames=tuple((node_id, name) for node_id, name in sizes if name == "length"),
        steps=tuple(
            (node_id, name)
            for node_id, name in numbers
            if name == "steps" and graph[node_id]["class_type"] in _STEP_NODES
        ),
    )
    return found, missing


def check_places(graph: Graph, places: Places) -> None:
    """Raise WorkflowProblem if a place is not in the workflow, or is not one that samples may set.

    A prompt in another input could name a file or a host.
    """
    for node_id in (*places.lora, places.output):
        if node_id not in graph:
            raise WorkflowProblem(
                Reason.of("The workflow has no node {node}.", "workflow_lacks_node", node=f"{node_id!r:.40}")
            )
    for node_id in places.lora:
        if not _loads_lora(graph[node_id]):
            raise WorkflowProblem(
                Reason.of(
                    "Node {node} ({kind}) loads no LoRA: name a node like LoraLoaderModelOnly.",
                    "workflow_node_loads_no_lora",
                    node=f"{node_id!r:.40}",
                    kind=f"{graph[node_id]['class_type']:.60}",
                )
            )
    if graph[places.output]["class_type"] not in _OUTPUT_NODES:
        raise WorkflowProblem(
            Reason.of(
                "Node {node} ({kind}) saves no pictures: name one of {kinds}.",
                "workflow_node_saves_nothing",
                node=f"{places.output!r:.40}",
                kind=f"{graph[places.output]['class_type']:.60}",
                kinds=", ".join(_OUTPUT_NODES),
            )
        )
    for field in _INPUT_FIELDS:
        for node_id, name in getattr(places, field):
            problem = _input_problem(graph, node_id, name, is_text=field in _TEXT_FIELDS)
            if problem is not None:
                raise WorkflowProblem(problem)
    if not places.lora or not places.prompt or not places.seed:
        raise WorkflowProblem(
            Reason.of("The nodes of the LoRA, the prompt and the seed are required.", "workflow_nodes_required")
        )


def _input_problem(graph: Graph, node_id: str, name: str, *, is_text: bool) -> Reason | None:
    """Return why samples may not set a text or a number in this input; None if they may."""
    node = graph.get(node_id)
    facts = {"name": f"{name!r:.40}", "node": f"{node_id!r:.40}"}
    if node is None or name not in node["inputs"]:
        return Reason.of("The workflow has no input {name} of node {node}.", "workflow_lacks_input", **facts)
    facts["kind"] = f"{node['class_type']:.60}"
    if is_text and not _is_text_input(node, name):
        return Reason.of(
            "Input {name} of node {node} ({kind}) is no prompt: name the text of a node like CLIPTextEncode.",
            "workflow_input_no_prompt",
            **facts,
        )
    if not is_text and not _is_number(node["inputs"][name]):
        return Reason.of(
            "Input {name} of node {node} ({kind}) is no number: name one that is.",
            "workflow_input_no_number",
            **facts,
        )
    return None


def fill(graph: Graph, places: Places, values: Values) -> dict[str, dict[str, Any]]:
    """Return the graph of one sample."""
    filled = {node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in graph.items()}
    for node_id in places.lora:
        inputs = filled[node_id]["inputs"]
        inputs["lora_name"] = values.lora
        inputs |= {name: values.strength for name in _STRENGTH_INPUTS if name in inputs}
    for field in _INPUT_FIELDS:
        value = getattr(values, field)
        if value is not None:
            for node_id, name in getattr(places, field):
                filled[node_id]["inputs"][name] = value
    filled[places.output]["inputs"]["filename_prefix"] = values.prefix
    return filled


def node_types(graph: Graph) -> list[str]:
    """Return the types of a workflow's nodes, each once."""
    return list(dict.fromkeys(node["class_type"] for node in graph.values()))


def find_problems(
    graph: Graph, places: Places, known: Mapping[str, Mapping[str, Any]], extensions: Sequence[str] = ()
) -> list[str]:
    """Return why a server cannot or must not run a workflow.

    `known` is the server's description of each type (`/object_info`). Nodes of other extensions than these are
    refused, because they may do anything: write files, or connect to other hosts.
    """
    problems = [
        f"ComfyUI has no node {name}: update it, or install the extension that brings it."
        for name in node_types(graph)
        if not known.get(name)
    ]
    for name in node_types(graph):
        module = str(known.get(name, {}).get("python_module", "nodes"))
        extension = module.removeprefix("custom_nodes.")
        is_core = module == _CORE_MODULE or module.startswith(_CORE_PACKAGE)
        if not is_core and extension not in extensions:
            problems.append(
                f"The node {name} belongs to the extension {extension}, which workflows may not use: an administrator"
                " can allow it with COMFYUI_EXTENSIONS."
            )
    problems += [
        f"Node {node_id} ({node['class_type']}) saves or shows something, too: remove it."
        for node_id, node in graph.items()
        if node_id != places.output and known.get(node["class_type"], {}).get("output_node")
    ]
    for node_id, node in graph.items():
        described = known.get(node["class_type"], {}).get("input", {})
        required = described.get("required", {}) if isinstance(described, Mapping) else {}
        for name, description in required.items():
            if name not in node["inputs"]:
                problems.append(f'Node {node_id} ({node["class_type"]}) lacks the input "{name}".')
                continue
            value, choices = node["inputs"][name], choices_of(description)
            is_ours = node_id in places.lora and name == "lora_name"
            if choices is not None and not is_ours and isinstance(value, str) and value not in choices:
                problems.append(
                    f'ComfyUI has no "{value}" for {node["class_type"]}.{name}; it has'
                    f" {', '.join(choices[:8]) or 'nothing'}."
                )
    return problems


def choices_of(description: Any) -> list[str] | None:
    """Return the values that an input accepts according to `/object_info`; None if it is no choice."""
    if not isinstance(description, Sequence) or isinstance(description, str) or not description:
        return None
    first = description[0]
    if first == "COMBO" and len(description) > 1 and isinstance(description[1], Mapping):
        first = description[1].get("options")
    return [each for each in first if isinstance(each, str)] if isinstance(first, list) else None


def hash_graph(graph: Graph, places: Places) -> str:
    """Return a hash of a workflow without what samples set, as hexadecimal digits."""
    neutral = Values("", 1.0, "", "", 0, "", 0, 0, 0, 0)
    text = json.dumps(fill(graph, replace(places), neutral), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def _links(node: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, int]]]:
    for name, value in node["inputs"].items():
        if _is_link(value):
            yield name, (value[0], value[1])


def _numbers(graph: Graph) -> Iterator[tuple[str, str]]:
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            if _is_number(value):
                yield node_id, name


def _texts(graph: Graph, inputs: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the text inputs from which links lead to one of these inputs of a sampler or guider."""
    links = {node_id: dict(_links(node)) for node_id, node in graph.items()}
    found: list[tuple[str, str]] = []
    rest = [
        source
        for node_id, node in graph.items()
        if "Sampler" in node["class_type"] or "Guider" in node["class_type"]
        for name, (source, _) in links[node_id].items()
        if name in inputs
    ][::-1]
    seen: set[str] = set()
    while rest:
        node_id = rest.pop()
        if node_id in seen:
            continue
        seen.add(node_id)
        node, linked = graph[node_id], links[node_id]
        texts = [name for name in _TEXT_INPUTS if name not in linked and _is_text_input(node, name)]
        found += [(node_id, name) for name in texts]
        if not texts:
            # A node with both conditionings passes each on by its own output.
            names = [name for name in linked if name in inputs] or [name for name in linked if name == "conditioning"]
            rest += [linked[name][0] for name in reversed(names)]
    return tuple(found)
