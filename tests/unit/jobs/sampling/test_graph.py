"""Workflows: what is found in them, what is set, and what is refused."""

from typing import Any

import pytest

from api.jobs.sampling.graph import (
    MOST_NODES,
    Places,
    Values,
    WorkflowProblem,
    check_places,
    fill,
    find_places,
    find_problems,
    hash_graph,
    read_graph,
    search_places,
)
from api.jobs.sampling.workflows import RECIPES, build, needed_types

VALUES = Values("a.safetensors", 1.0, "cat", "dog", 5, "prefix")


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def custom_sampler() -> dict[str, Any]:
    """Return a workflow with separate nodes for noise, guider and schedule, whose texts pass other nodes."""
    return {
        "1": node("UNETLoader", unet_name="x", weight_dtype="default"),
        "2": node("CLIPTextEncode", text="old", clip=["9", 0]),
        "3": node("FluxGuidance", conditioning=["2", 0], guidance=3.5),
        "4": node("BasicGuider", model=["5", 0], conditioning=["3", 0]),
        "5": node("LoraLoaderModelOnly", model=["1", 0], lora_name="old", strength_model=0.5),
        "6": node("RandomNoise", noise_seed=1),
        "7": node("BasicScheduler", model=["5", 0], scheduler="simple", steps=20, denoise=1.0),
        "8": node("EmptySD3LatentImage", width=512, height=512, batch_size=1),
        "9": node("CLIPLoader", clip_name="y", type="flux"),
        "10": node("SamplerCustomAdvanced", noise=["6", 0], guider=["4", 0], sigmas=["7", 0], latent_image=["8", 0]),
        "11": node("SaveImage", images=["10", 0], filename_prefix="old"),
    }


def test_places_are_found_through_other_nodes():
    found = find_places(custom_sampler())
    assert (found.lora, found.output) == (("5",), "11")
    assert (found.prompt, found.negative) == ((("2", "text"),), ())
    assert (found.seed, found.steps) == ((("6", "noise_seed"),), (("7", "steps"),))
    assert (found.width, found.height, found.frames) == ((("8", "width"),), (("8", "height"),), ())


def test_positive_and_negative_texts_are_told_apart():
    graph = {
        **{each: custom_sampler()[each] for each in ("1", "5", "8", "9")},
        "p": node("CLIPTextEncode", text="yes", clip=["9", 0]),
        "n": node("CLIPTextEncode", text="no", clip=["9", 0]),
        "c": node("LTXVConditioning", positive=["p", 0], negative=["n", 0], frame_rate=25),
        "s": node("KSampler", model=["5", 0], positive=["c", 0], negative=["c", 1], latent_image=["8", 0], seed=1),
        "o": node("SaveImage", images=["s", 0], filename_prefix=""),
    }
    found = find_places(graph)
    assert (found.prompt, found.negative) == ((("p", "text"),), (("n", "text"),))


def test_filling_leaves_the_workflow_unchanged():
    graph = custom_sampler()
    filled = fill(graph, find_places(graph), VALUES)
    assert filled["2"]["inputs"]["text"] == "cat"
    assert filled["8"]["inputs"]["width"] == 512
    assert graph == custom_sampler()


def test_hash_ignores_what_samples_set():
    graph = custom_sampler()
    places = find_places(graph)
    assert hash_graph(graph, places) == hash_graph(fill(graph, places, VALUES), places)
    graph["3"]["inputs"]["guidance"] = 2.0
    assert hash_graph(graph, places) != hash_graph(custom_sampler(), places)


@pytest.mark.parametrize("missing", ["5", "11", "6", "2"])
def test_workflow_without_a_needed_node_is_refused(missing: str):
    graph = custom_sampler()
    graph[missing] = node("Note", clip=["9", 0])
    with pytest.raises(WorkflowProblem):
        find_places(graph)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"nodes": [], "links": []},
        {"1": "x"},
        {"1": {"class_type": 3, "inputs": {}}},
        {"1": {"class_type": "A"}},
        {"1": {"class_type": "A" * 201, "inputs": {}}},
        {"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}},
        {str(number): {"class_type": "A", "inputs": {}} for number in range(MOST_NODES + 1)},
        {"1": {"class_type": "A", "inputs": {"x": "y" * 600_000}}},
    ],
)
def test_other_json_is_no_workflow(value: Any):
    with pytest.raises(WorkflowProblem):
        read_graph(value)


def test_circular_workflow_ends():
    graph = custom_sampler()
    graph["3"]["inputs"]["conditioning"] = ["3", 0]
    with pytest.raises(WorkflowProblem, match="prompt"):
        find_places(graph)


def test_given_places_must_be_in_the_workflow():
    stored = find_places(custom_sampler()).as_json()
    check_places(custom_sampler(), Places.from_json(stored))
    with pytest.raises(WorkflowProblem, match="no input"):
        check_places(custom_sampler(), Places.from_json({**stored, "prompt": [["2", "title"]]}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": [["1", "unet_name"]]}, "no prompt"),
        ({"prompt": [["load", "image"]]}, "no prompt"),
        ({"prompt": [["load", "text"]]}, "no prompt"),
        ({"negative": [["11", "filename_prefix"]]}, "no prompt"),
        ({"prompt": [["2", "clip"]]}, "no prompt"),
        ({"seed": [["1", "unet_name"]]}, "no number"),
        ({"steps": [["7", "model"]]}, "no number"),
        ({"width": [["load", "flag"]]}, "no number"),
        ({"lora": ["1"]}, "loads no LoRA"),
        ({"output": "1"}, "saves no pictures"),
    ],
)
def test_places_are_only_where_samples_may_set_them(changes: dict[str, Any], message: str):
    graph = {**custom_sampler(), "load": node("LoadImage", image="a.png", text="b.png", flag=True)}
    stored = find_places(graph).as_json()
    with pytest.raises(WorkflowProblem, match=message):
        check_places(graph, Places.from_json({**stored, **changes}))


def test_linked_prompt_and_own_loaders_may_be_named():
    graph = custom_sampler()
    graph["2"] = node("WanVideoTextEncode", positive_prompt="old", text=["9", 0])
    graph["5"] = node("FancyLoraLoader", model=["1", 0], lora_name="old")
    others = {"output": "11", "seed": [["6", "noise_seed"]], "lora": ["5"]}
    for name in ("positive_prompt", "text"):
        check_places(graph, Places.from_json({**others, "prompt": [["2", name]]}))


@pytest.mark.parametrize(
    "value",
    [
        ["/etc/passwd"],
        ["a", ["b", {"c": "~/x"}]],
        {"a": "http://169.254.169.254/"},
        {"/etc/passwd": 1},
        ["/etc/passwd", 0.0],
        "file:/etc/passwd",
        "file:etc",
        "C:foo",
        "a\n/etc/passwd",
        "a\r..\\x",
        "\0/etc/passwd",
        "a, /etc/passwd",
        "'../x'",
    ],
)
def test_no_input_names_a_file_or_host(value: Any):
    for name in ("image", "text", "prompt"):
        with pytest.raises(WorkflowProblem, match="an address or a path"):
            read_graph({**custom_sampler(), "x": node("LoadImage", **{name: value})})


def test_prompts_and_relative_names_are_free():
    graph = custom_sampler()
    graph["1"]["inputs"]["unet_name"] = "flux dev/v1.0..fp8 - a, b.safetensors"
    graph["2"]["inputs"]["text"] = "~ a poster with https://example.org/ ../ on it"
    assert read_graph(graph) == graph


def test_meshed_workflow_is_searched_once():
    count = MOST_NODES
    graph = {
        str(n): node(
            "KSampler",
            positive=[str((n + 1) % count), 0],
            negative=[str((n + 7) % count), 0],
            conditioning=[str((n + 3) % count), 0],
        )
        for n in range(count)
    }
    reads = 0

    class Counting(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            nonlocal reads
            reads += 1
            return super().__getitem__(key)

    search_places(Counting(graph))
    assert reads < 20 * count


@pytest.mark.parametrize("model_type", sorted(RECIPES))
def test_built_in_workflow_has_every_place(model_type: str):
    recipe = RECIPES[model_type]
    names = ["flux1-dev.x", "flux2-dev-vae.x", "ae.x", "umt5.x", "t5xxl.x", "clip_l.x", "clip_g.x", "llava_llama3.x"]
    names += [
        "qwen_image.x",
        "qwen_2.5_vl.x",
        "qwen_image_vae.x",
        "qwen_3_4b.x",
        "gemma_2.x",
        "mistral.x",
        "wan_2.1_vae.x",
    ]
    names += ["hunyuan_video.x", "hunyuan_vae.x", "z_image.x", "lumina.x", "chroma.x", "hidream.x", "cosmos_predict2.x"]
    names += ["wan_2.1_vae.x", "sd3.x", "sd_xl.x", "aura.x", "wan2.x"]
    inputs = ("ckpt_name", "unet_name", "vae_name", "clip_name", "clip_name1", "clip_name2", "clip_name3", "clip_name4")
    known = {kind: {"input": {"required": {name: [names] for name in inputs}}} for kind in needed_types(model_type)}
    graph = build(model_type, known)
    places = find_places(read_graph(graph))
    assert all((places.prompt, places.seed, places.width, places.height, places.steps))
    assert bool(places.frames) == (recipe.frames is not None)
    assert bool(places.negative) == (recipe.guidance is None)


def test_unknown_type_needs_an_own_workflow():
    with pytest.raises(WorkflowProblem, match="register"):
        build("unheard_of", {})


@pytest.mark.parametrize(
    ("module", "is_core"),
    [("nodes", True), ("comfy_extras.nodes_flux", True), ("nodes_extra", False), ("x.nodes", False)],
)
def test_only_comfyui_itself_has_core_nodes(module: str, is_core: bool):
    graph = custom_sampler()
    known = {each["class_type"]: {"input": {}, "python_module": "nodes"} for each in graph.values()}
    known["FluxGuidance"]["python_module"] = module
    assert (find_problems(graph, find_places(graph), known) == []) == is_core
