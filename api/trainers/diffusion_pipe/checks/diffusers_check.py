"""Check models in the format of diffusers: pipeline class, parts that the trainer opens, and their files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.errors import FindingText
from api.files.weights.header import merged
from api.files.weights.model_directories import INDEX, parts_with_weights, read_json
from api.files.weights.recognition import recognise
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS

#: By part, the keys of [model] that replace it, so that the trainer does not open it.
_REPLACED = {
    "transformer": ("transformer_path", "single_file_path"),
    "text_encoder": ("text_encoder_path", "llm_path"),
    "text_encoder_2": ("clip_path",),
    "text_encoder_4": ("llama3_path",),
    "vae": ("vae_path", "single_file_path"),
}

#: Prefix of the pipeline class that the trainer loads from a directory (`from_pretrained` in its models/*.py).
_PIPELINES = {name: model.pipeline for name, model in DESCRIPTIONS.items() if model.pipeline is not None}

#: Prefixes of diffusers' pipeline names; the longest match identifies a model.
_FAMILIES = (
    *set(_PIPELINES.values()), "Flux2", "LTX2", "StableDiffusion", "StableDiffusionXL", "Chroma", "OmniGen", "Wan",
    "HunyuanVideo", "HunyuanVideo15", "HunyuanImage", "HunyuanDiT", "ZImage", "Lumina", "Lumina2", "AuraFlow", "Cosmos",
    "Cosmos2", "Sana", "PixArt", "Kandinsky", "CogVideo", "CogView", "Mochi", "SkyReels", "Allegro", "StableCascade",
)  # fmt: skip

#: If all three are set, qwen_image opens no directory.
_SINGLE_FILES = frozenset({"transformer_path", "text_encoder_path", "vae_path"})

#: Types that read the parts without an index.
_READS_PARTS = ("qwen_image",)


def is_replaced(part: str, model: Mapping[str, Any]) -> bool:
    """Return whether another key of [model] replaces a part."""
    return any(model.get(key) for key in _REPLACED.get(part, ()))


def is_unopened(model: Mapping[str, Any]) -> bool:
    """Return whether `diffusers_path` is never opened, because qwen_image has all its parts from elsewhere."""
    return model.get("type") == "qwen_image" and model.keys() >= _SINGLE_FILES


def check_index(directory: Path, model_type: str, at: str, findings: Findings) -> None:
    """Check that model_index.json exists and names a pipeline that the trainer loads for this type."""
    expected, name = _PIPELINES.get(model_type), shown(directory.name)
    if expected is None:
        return
    remedy = Reason.of(
        "Set the directory of a model whose model_index.json names {pipeline}.",
        "advice_pipeline",
        pipeline=f"{expected}Pipeline",
    )
    index = read_json(directory / INDEX)
    if index is None and model_type in _READS_PARTS:
        return
    if index is None:
        what = recognise(merged(paths.headers_of(directory)))
        content = "" if what is None else f"holds {what.title}, and "
        findings.error(
            at,
            FindingText(
                "model_index_missing", "{name} {content}has no readable model_index.json, which diffusers needs."
            ),
            remedy=remedy,
            name=name,
            content=content,
        )
        return
    pipeline = index.get("_class_name")
    family = _family(pipeline) if isinstance(pipeline, str) else None
    if family is not None and family != expected:
        findings.error(
            at,
            FindingText("model_index_other", "{name} is a model for `{pipeline}`, according to its model_index.json."),
            remedy=remedy,
            name=name,
            pipeline=shown(pipeline),
        )


def _family(pipeline: str) -> str | None:
    return max((each for each in _FAMILIES if pipeline.startswith(each)), key=len, default=None)


def check_parts(directory: Path, model: Mapping[str, Any], at: str, findings: Findings) -> None:
    """Check that the parts listed in model_index.json have weights; without that file, report nothing."""
    for part in parts_with_weights(read_json(directory / INDEX) or {}):
        if not is_replaced(part, model) and not paths.has_weights(directory / part):
            findings.error(
                at,
                FindingText(
                    "model_part_missing",
                    "{directory} lacks the weights of the part `{part}`, which model_index.json lists.",
                    "Download the missing files of the model.",
                ),
                directory=shown(directory.name),
                part=shown(part),
            )
