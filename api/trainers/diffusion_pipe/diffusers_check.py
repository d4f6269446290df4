"""Models in diffusers' form, a directory for each part: whose they are, which parts the trainer opens, and whether they
are there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.files.weights.header import merged
from api.files.weights.model_directories import INDEX, read_json, weighty_parts
from api.files.weights.recognition import recognise
from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.pointers import shown

#: By part, the keys of [model] that take its place; the trainer then does not open it.
_REPLACED = {
    "transformer": ("transformer_path", "single_file_path"),
    "text_encoder": ("text_encoder_path", "llm_path"),
    "text_encoder_2": ("clip_path",),
    "text_encoder_4": ("llama3_path",),
    "vae": ("vae_path", "single_file_path"),
}

#: How the class of the pipeline begins that the trainer makes of a directory (`from_pretrained` in its models/*.py).
_PIPELINES = {
    "flux": "Flux",
    "chroma": "Flux",
    "ltx-video": "LTX",
    "hidream": "HiDream",
    "sd3": "StableDiffusion3",
    "omnigen2": "OmniGen2",
    "qwen_image": "QwenImage",
}

#: Beginnings of the names of diffusers' pipelines, of which the longest that fits tells a model from the others.
_FAMILIES = (
    *set(_PIPELINES.values()), "Flux2", "LTX2", "StableDiffusion", "StableDiffusionXL", "Chroma", "OmniGen", "Wan",
    "HunyuanVideo", "HunyuanVideo15", "HunyuanImage", "HunyuanDiT", "ZImage", "Lumina", "Lumina2", "AuraFlow", "Cosmos",
    "Cosmos2", "Sana", "PixArt", "Kandinsky", "CogVideo", "CogView", "Mochi", "SkyReels", "Allegro", "StableCascade",
)  # fmt: skip

#: With all three, qwen_image opens no directory.
_SINGLE_FILES = frozenset({"transformer_path", "text_encoder_path", "vae_path"})

#: Types that read the parts by themselves, without an index.
_READS_PARTS = ("qwen_image",)


def is_replaced(part: str, model: Mapping[str, Any]) -> bool:
    """Whether another key of [model] takes the place of a part."""
    return any(model.get(key) for key in _REPLACED.get(part, ()))


def is_unopened(model: Mapping[str, Any]) -> bool:
    """Whether `diffusers_path` is never opened: qwen_image has each of its parts from elsewhere."""
    return model.get("type") == "qwen_image" and model.keys() >= _SINGLE_FILES


def check_index(directory: Path, model_type: str, at: str, findings: Findings) -> None:
    """Whether model_index.json is there, and is that of a model that the trainer makes of it."""
    wanted, name = _PIPELINES.get(model_type), shown(directory.name)
    if wanted is None:
        return
    remedy = f"Name the directory of a model whose model_index.json tells of {wanted}Pipeline."
    index = read_json(directory / INDEX)
    if index is None and model_type in _READS_PARTS:
        return
    if index is None:
        what = recognise(merged(paths.headers_of(directory)))
        holds = "" if what is None else f"holds {what.title}, and "
        findings.error(at, f"{name} {holds}has no model_index.json that can be read, as diffusers needs it.", remedy)
        return
    told = index.get("_class_name")
    family = _family(told) if isinstance(told, str) else None
    if family is not None and family != wanted:
        findings.error(at, f"{name} is a model of `{shown(told)}`, by its model_index.json.", remedy)


def _family(told: str) -> str | None:
    return max((each for each in _FAMILIES if told.startswith(each)), key=len, default=None)


def check_parts(directory: Path, model: Mapping[str, Any], at: str, findings: Findings) -> None:
    """Whether the parts that model_index.json tells of are there with their weights; without it nothing is said."""
    for part in weighty_parts(read_json(directory / INDEX) or {}):
        if not is_replaced(part, model) and not paths.has_weights(directory / part):
            findings.error(
                at,
                f"{shown(directory.name)} lacks the weights of its part `{shown(part)}`, which model_index.json names.",
                "Download the rest of the model.",
            )
