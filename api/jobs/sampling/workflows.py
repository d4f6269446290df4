"""Workflows of our own for the common model types, in ComfyUI's API format.

They follow ComfyUI's templates for these types in their nodes, samplers and steps. File names are chosen from those
that the server lists.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.domain.reason import Reason
from api.jobs.sampling.graph import WorkflowProblem, choices_of


@dataclass(frozen=True, slots=True)
class SamplingRecipe:
    """How ComfyUI samples a model type. Patterns find the files among those that the server lists."""

    model: str  #: pattern of the model's file
    clips: tuple[str, ...] = ()  #: patterns of the text encoders; none: the checkpoint contains them
    clip_type: str = ""
    vae: str = ""  #: pattern of the VAE; none: the checkpoint contains it
    shift: tuple[str, float] | None = None  #: the node that shifts the schedule, and the shift
    latent: str = "EmptySD3LatentImage"
    width: int = 1024
    height: int = 1024
    frames: int | None = None
    frame_rate: float = 16.0
    guidance: float | None = None  #: distilled guidance; then there is no negative prompt
    cfg: float = 1.0
    sampler: str = "euler"
    scheduler: str = "simple"
    steps: int = 20
    is_checkpoint: bool = False  #: one file with model, text encoders and VAE


_T5 = r"t5[-_]?xxl"
_UMT5 = r"umt5"
_CLIP_L = r"clip[-_]l"
_FLUX_VAE = r"^(.*/)?ae\."

#: The types of which a LoRA can be sampled without a workflow of the user's own.
RECIPES: Mapping[str, SamplingRecipe] = {
    "sdxl": SamplingRecipe(
        r"xl", latent="EmptyLatentImage", cfg=7.0, sampler="dpmpp_2m", scheduler="karras", steps=25, is_checkpoint=True
    ),
    "sd3": SamplingRecipe(r"sd3", cfg=4.0, scheduler="sgm_uniform", is_checkpoint=True),
    "auraflow": SamplingRecipe(
        r"aura",
        shift=("ModelSamplingAuraFlow", 1.73),
        cfg=3.5,
        sampler="uni_pc",
        scheduler="normal",
        steps=25,
        is_checkpoint=True,
    ),
    "flux": SamplingRecipe(r"flux(?!.?2)", (_T5, _CLIP_L), "flux", _FLUX_VAE, guidance=3.5),
    "chroma": SamplingRecipe(r"chroma", (_T5,), "chroma", _FLUX_VAE, cfg=4.0, scheduler="beta", steps=26),
    "qwen_image": SamplingRecipe(
        r"qwen[-_]image",
        (r"qwen.*2\.?5.*vl",),
        "qwen_image",
        r"qwen[-_]image[-_]vae",
        ("ModelSamplingAuraFlow", 3.1),
        cfg=4.0,
    ),
    "z_image": SamplingRecipe(
        r"z[-_]image", (r"qwen.*3.*4b",), "lumina2", _FLUX_VAE, ("ModelSamplingAuraFlow", 3.0), cfg=4.0, steps=25
    ),
    "lumina_2": SamplingRecipe(
        r"lumina",
        (r"gemma.*2",),
        "lumina2",
        _FLUX_VAE,
        ("ModelSamplingAuraFlow", 6.0),
        cfg=4.0,
        sampler="res_multistep",
        steps=25,
    ),
    "flux2": SamplingRecipe(
        r"flux.?2", (r"mistral|qwen.*3",), "flux2", r"flux.?2.*vae", latent="EmptyFlux2LatentImage", guidance=4.0
    ),
    "cosmos_predict2": SamplingRecipe(
        r"cosmos.*predict2", (r"oldt5|" + _T5,), "cosmos", r"wan.*2.*1.*vae|wan_2\.1", cfg=4.0, steps=35
    ),
    "hidream": SamplingRecipe(
        r"hidream",
        (r"clip_l", r"clip_g", _T5, r"llama"),
        "hidream",
        _FLUX_VAE,
        ("ModelSamplingSD3", 3.0),
        cfg=5.0,
        sampler="uni_pc",
        steps=50,
    ),
    "wan": SamplingRecipe(
        r"wan",
        (_UMT5,),
        "wan",
        r"wan.*vae",
        ("ModelSamplingSD3", 8.0),
        "EmptyHunyuanLatentVideo",
        832,
        480,
        33,
        cfg=6.0,
        sampler="uni_pc",
        steps=30,
    ),
    "hunyuan-video": SamplingRecipe(
        r"hunyuan.*video",
        (_CLIP_L, r"llava.*llama"),
        "hunyuan_video",
        r"hunyuan.*vae",
        ("ModelSamplingSD3", 7.0),
        "EmptyHunyuanLatentVideo",
        848,
        480,
        73,
        24.0,
        guidance=6.0,
    ),
}

_CLIP_LOADERS = {1: "CLIPLoader", 2: "DualCLIPLoader", 3: "TripleCLIPLoader", 4: "QuadrupleCLIPLoader"}

#: The description of each node type, as `/object_info` has it.
Known = Mapping[str, Mapping[str, Any]]


def needed_types(model_type: str) -> list[str]:
    """Return the node types whose descriptions `build` needs. Raise WorkflowProblem for an unsupported type."""
    recipe = _recipe_of(model_type)
    loaders = ["CheckpointLoaderSimple"] if recipe.is_checkpoint else ["UNETLoader", "VAELoader"]
    return loaders if recipe.is_checkpoint else [*loaders, _CLIP_LOADERS[len(recipe.clips)]]


def build(model_type: str, known: Known, base: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the workflow of a model type with files that the server has.

    `base` is the file name of the trained model, which is used if the server has a file of this name. Raise
    WorkflowProblem if a file is missing.
    """
    recipe = _recipe_of(model_type)
    graph: dict[str, dict[str, Any]] = {}

    def add(node_id: str, kind: str, **inputs: Any) -> None:
        graph[node_id] = {"class_type": kind, "inputs": inputs}

    if recipe.is_checkpoint:
        add(
            "model",
            "CheckpointLoaderSimple",
            ckpt_name=_choose(known, "CheckpointLoaderSimple", "ckpt_name", recipe.model, base),
        )
        clip, vae = ["model", 1], ["model", 2]
        # Such trainings may include the text encoders, so the LoRA is applied to them, too.
        add("lora", "LoraLoader", model=["model", 0], clip=clip, lora_name="", strength_model=1.0, strength_clip=1.0)
        clip = ["lora", 1]
    else:
        loader = _CLIP_LOADERS[len(recipe.clips)]
        names = ["clip_name"] if len(recipe.clips) == 1 else [f"clip_name{i}" for i in range(1, len(recipe.clips) + 1)]
        files = {name: _choose(known, loader, name, each) for name, each in zip(names, recipe.clips, strict=True)}
        kind = {"type": recipe.clip_type} if len(recipe.clips) < 3 else {}
        add(
            "model",
            "UNETLoader",
            unet_name=_choose(known, "UNETLoader", "unet_name", recipe.model, base),
            weight_dtype="default",
        )
        add("clip", loader, **files, **kind)
        add("vae", "VAELoader", vae_name=_choose(known, "VAELoader", "vae_name", recipe.vae))
        add("lora", "LoraLoaderModelOnly", model=["model", 0], lora_name="", strength_model=1.0)
        clip, vae = ["clip", 0], ["vae", 0]
    model = ["lora", 0]
    if recipe.shift is not None:
        add("shift", recipe.shift[0], model=model, shift=recipe.shift[1])
        model = ["shift", 0]
    add("prompt", "CLIPTextEncode", clip=clip, text="")
    if recipe.guidance is None:
        positive = ["prompt", 0]
        add("negative", "CLIPTextEncode", clip=clip, text="")
    else:
        add("guidance", "FluxGuidance", conditioning=["prompt", 0], guidance=recipe.guidance)
        positive = ["guidance", 0]
        add("negative", "ConditioningZeroOut", conditioning=["prompt", 0])
    frames = {} if recipe.frames is None else {"length": recipe.frames}
    add("latent", recipe.latent, width=recipe.width, height=recipe.height, batch_size=1, **frames)
    add(
        "sampler",
        "KSampler",
        model=model,
        positive=positive,
        negative=["negative", 0],
        latent_image=["latent", 0],
        seed=0,
        steps=recipe.steps,
        cfg=recipe.cfg,
        sampler_name=recipe.sampler,
        scheduler=recipe.scheduler,
        denoise=1.0,
    )
    add("decode", "VAEDecode", samples=["sampler", 0], vae=vae)
    if recipe.frames is None:
        add("save", "SaveImage", images=["decode", 0], filename_prefix="")
    else:
        add(
            "save",
            "SaveAnimatedWEBP",
            images=["decode", 0],
            filename_prefix="",
            fps=recipe.frame_rate,
            lossless=False,
            quality=85,
            method="default",
        )
    return graph


def _recipe_of(model_type: str) -> SamplingRecipe:
    try:
        return RECIPES[model_type]
    except KeyError:
        raise WorkflowProblem(
            Reason.of(
                "There is no built-in workflow for {model_type}: register one that ComfyUI exported (API format).",
                "workflow_not_built_in",
                model_type=model_type,
            )
        ) from None


def _choose(known: Known, kind: str, name: str, pattern: str, base: str | None = None) -> str:
    """Return the server's file for an input: the one named `base`, or the first that matches the pattern."""
    description = known.get(kind, {}).get("input", {}).get("required", {}).get(name)
    files: Sequence[str] = choices_of(description) or ()
    if base is not None:
        for file in files:
            if file.replace("\\", "/").rsplit("/", 1)[-1] == base:
                return file
    for file in files:
        if re.search(pattern, file.replace("\\", "/"), re.IGNORECASE):
            return file
    raise WorkflowProblem(
        Reason.of(
            "ComfyUI has no file for {input} (a name that matches {pattern}); it has: {files}.",
            "comfyui_lacks_file",
            input=f"{kind}.{name}",
            pattern=pattern,
            files=", ".join(files[:8]) or "–",
        )
    )
