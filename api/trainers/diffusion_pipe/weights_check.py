"""Checks the content of model files: swappable blocks, data types, and required parts."""

from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.adapter_files import check_adapter_files
from api.trainers.diffusion_pipe.document import TrainerDocument, as_integer
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_types import MODELS, ModelFacts, Swap
from api.trainers.diffusion_pipe.slots_check import check_slots
from api.trainers.diffusion_pipe.wan_files import check_wan_files, wan_config

#: Small floating-point types, suitable only for the large weights of a model.
_FLOAT8 = ("float8", "float8_e4m3fn", "float8_e5m2")

#: Number of blocks of a wan model, by width.
_WAN_BLOCKS = {1536: 30, 3072: 30, 5120: 40}

#: By key, the file that hunyuan-video opens below `ckpt_path` unless the key is set.
_HUNYUAN_FILES = {
    "transformer_path": Path("hunyuan-video-t2v-720p", "transformers", "mp_rank_00_model_states.pt"),
    "vae_path": Path("hunyuan-video-t2v-720p", "vae", "pytorch_model.pt"),
}

#: By key, the directory below `ckpt_path` that is used if the key is not set.
_HUNYUAN_PARTS = {"llm_path": "text_encoder", "clip_path": "text_encoder_2"}

#: Parts of a diffusers model from which qwen_image reads weights, unless the key is set.
_QWEN_PARTS = {"transformer": "transformer_path", "text_encoder": "text_encoder_path", "vae": "vae_path"}


def check_files(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> None:
    """Check the contents of the files in [model]."""
    facts = MODELS[model_type]
    _check_swap(config, model_type, facts, root, findings)
    _check_dtypes(config, model_type, facts, findings)
    check_slots(config, model_type, root, findings)
    check_adapter_files(config, model_type, root, findings)
    if model_type == "hunyuan-video":
        _check_hunyuan(config, root, findings)
    if model_type == "wan":
        check_wan_files(config, root, findings)
    elif model_type == "qwen_image":
        _check_qwen(config, root, findings)


def most_swapped(blocks: tuple[int, ...]) -> int:
    """Return the largest valid `blocks_to_swap`. Two blocks of each list must remain."""
    if len(blocks) == 1:
        return blocks[0] - 2
    double, single = blocks
    fits = [n for n in range(1, 2 * sum(blocks)) if n // 2 <= double - 2 and (n - n // 2) * 2 + 1 <= single - 2]
    return max(fits, default=0)


def _check_swap(
    config: TrainerDocument, model_type: str, facts: ModelFacts, root: Path | None, findings: Findings
) -> None:
    requested = as_integer(config.values.get("blocks_to_swap"))
    if not requested or facts.swap is None:
        return
    model = config.table("model")
    blocks, is_certain = _wan_blocks(model, root) if model_type == "wan" else _blocks(model, facts.swap, root)
    if blocks is None or requested <= (most := most_swapped(blocks)):
        return
    add = findings.error if is_certain else findings.warn
    add(
        config.at("blocks_to_swap"),
        f"This model has {' + '.join(map(str, blocks))} blocks, of which at most {most} can be swapped; with more, the"
        " trainer fails after loading.",
        f"Set blocks_to_swap to {most} or less.",
    )


def _blocks(model: dict[str, Any], swap: Swap, root: Path | None) -> tuple[tuple[int, ...] | None, bool]:
    """Return the number of blocks of each list, and whether it is certain."""
    if swap.blocks is not None and swap.is_certain:
        return swap.blocks, True
    text = model.get(swap.key)
    path = paths.resolve(text, root) if isinstance(text, str) and text else None
    for header in [] if path is None else paths.headers_of(path):
        counted = tuple(header.count(name) for name in swap.lists)
        if all(counted):
            return counted, True
    return swap.blocks, False


def _wan_blocks(model: dict[str, Any], root: Path | None) -> tuple[tuple[int, ...] | None, bool]:
    known = wan_config(model, root) or {}
    count = as_integer(known.get("num_layers")) or _WAN_BLOCKS.get(as_integer(known.get("dim")) or 0)
    return (None if count is None else (count,)), True


def _check_dtypes(config: TrainerDocument, model_type: str, facts: ModelFacts, findings: Findings) -> None:
    model = config.table("model")
    if model.get("dtype") in _FLOAT8:
        findings.error(
            config.at("model", "dtype"),
            "The trainer also casts VAE and text encoders to this type, in which they do not work.",
            "Set dtype = 'bfloat16'"
            + (f"; use {facts.dtype_key} to shrink the large weights." if facts.dtype_key else "."),
        )
    if config.table("adapter").get("dtype") in _FLOAT8:
        findings.error(
            config.at("adapter", "dtype"),
            "An adapter cannot be trained in this type.",
            "Set dtype = 'bfloat16' in [adapter].",
        )
    small = model.get(facts.dtype_key or "")
    if small not in _FLOAT8:
        return
    if "adapter" not in config.values:
        findings.error(
            config.at("model", facts.dtype_key or ""),
            "Without [adapter] the weights themselves are trained, which is impossible in this type.",
            "Remove the key, or add [adapter].",
        )
    elif model_type == "cosmos_predict2" and small != "float8_e5m2":
        findings.warn(
            config.at("model", facts.dtype_key or ""),
            "Of the small types, this model is known to work only with float8_e5m2.",
            "Set float8_e5m2.",
        )


def _check_hunyuan(config: TrainerDocument, root: Path | None, findings: Findings) -> None:
    model = config.table("model")
    text = model.get("ckpt_path")
    directory, at = (
        paths.resolve(text, root) if isinstance(text, str) and text else None,
        config.at("model", "ckpt_path"),
    )
    if directory is None or not paths.is_directory(directory):
        return
    for key, name in _HUNYUAN_FILES.items():
        if model.get(key):
            continue
        if paths.mode_of(directory / name) is None:
            findings.error(at, f"`{name}` is missing in it.", f"Download the original checkpoint, or set {key}.")
        else:
            paths.check_weights(directory / name, at, findings)
    for key, part in _HUNYUAN_PARTS.items():
        if key not in model and not paths.has_weights(directory / part):
            findings.error(
                at,
                f"Its directory `{part}` has no weights, and `{key}` is not set.",
                f"Download the text encoder into it, or set {key}.",
            )


def _check_qwen(config: TrainerDocument, root: Path | None, findings: Findings) -> None:
    model = config.table("model")
    text = model.get("diffusers_path")
    directory = paths.resolve(text, root) if isinstance(text, str) and text else None
    if directory is None or not paths.is_directory(directory):
        return
    for part, key in _QWEN_PARTS.items():
        if key in model:
            continue
        if not paths.safetensors_in(directory / part):
            findings.error(
                config.at("model", "diffusers_path"),
                f"Its directory `{part}` has no .safetensors files, and `{key}` is not set.",
                f"Download the complete model, or set {key}.",
            )
        for name in paths.safetensors_in(directory / part)[:64]:
            paths.check_weights(directory / part / name, config.at("model", "diffusers_path"), findings)
