"""Check the directory of a Wan model: the variant in its config.json, and the files that the trainer opens."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.models.part_titles import coded_title
from api.domain.reason import Reason
from api.errors import FindingText
from api.files.weights.header import merged
from api.files.weights.recognition import recognise
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.document import TrainerDocument, as_integer
from api.trainers.diffusion_pipe.config.findings import Findings

#: Most bytes read of a model's config.json.
_MAX_CONFIG_BYTES = 1024 * 1024

#: The widths that the trainer supports, by kind.
_WIDTHS = {"t2v": (1536, 5120), "i2v": (1536, 5120), "flf2v": (5120,), "ti2v": (3072,)}

_TEXT_ENCODER = "models_t5_umt5-xxl-enc-bf16.pth"
_TOKENIZER = Path("google", "umt5-xxl")
_CLIP = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
_VAE, _VAE_22 = "Wan2.1_VAE.pth", "Wan2.2_VAE.pth"

#: The expected fingerprint of each of these files.
_CONTENTS = {_VAE: "vae-wan-2.1", _VAE_22: "vae-wan-2.2", _TEXT_ENCODER: "umt5-xxl-wan", _CLIP: "clip-vision-h"}

#: A tensor that shows that images are input through CLIP, as in Wan 2.1.
IMAGE_MARK = "blocks.0.cross_attn.k_img.weight"


#: The type and width in config.json that recognised weights need. The trainer builds the model from config.json and
#: copies the tensors of equal names.
_CONFIG_OF = {
    "wan-2.1-t2v-1.3b": ("t2v", 1536),
    "wan-2.1-i2v-1.3b": ("i2v", 1536),
    "wan-t2v-14b": ("t2v", 5120),
    "wan-2.1-flf2v-14b": ("flf2v", 5120),
    "wan-2.1-i2v-14b": ("i2v", 5120),
    "wan-2.2-i2v-14b": ("i2v", 5120),
    "wan-2.2-ti2v-5b": ("ti2v", 3072),
}


def wan_config(model: dict[str, Any], root: Path | None) -> dict[str, Any] | None:
    """Return the config.json that the trainer reads, or None if there is no readable one."""
    checkpoint = model.get("ckpt_path")
    directory = paths.resolve(checkpoint, root) if isinstance(checkpoint, str) else None
    if directory is None:
        return None
    transformer = wan_transformer(model, root)
    if transformer is not None and paths.is_directory(transformer):
        candidates = [transformer / "config.json"]
    else:
        candidates = [directory / "config.json", directory / "low_noise_model" / "config.json"]
    for candidate in candidates:
        try:
            found = json.loads(paths.read_start(candidate, _MAX_CONFIG_BYTES))
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def wan_transformer(model: dict[str, Any], root: Path | None) -> Path | None:
    """Return the file or directory of the transformer's weights."""
    text = model.get("transformer_path", model.get("ckpt_path"))
    return paths.resolve(text, root) if isinstance(text, str) else None


def check_wan_files(config: TrainerDocument, root: Path | None, findings: Findings) -> None:
    """Check config.json and the other files in its directory."""
    model, at = config.table("model"), partial(config.at, "model")
    text = model.get("ckpt_path")
    directory = paths.resolve(text, root) if isinstance(text, str) else None
    if directory is None or not paths.is_directory(directory):
        return
    known = wan_config(model, root)
    if known is None:
        findings.error(
            at("ckpt_path"),
            FindingText(
                "wan_config_missing",
                "This directory has no readable config.json of a Wan model.",
                (
                    "Set the directory of the original checkpoint; for Wan 2.2 also set transformer_path to its "
                    "subdirectory."
                ),
            ),
        )
        return
    kind, width = known.get("model_type"), as_integer(known.get("dim"))
    if not isinstance(kind, str) or width not in _WIDTHS.get(kind, ()):
        findings.error(
            at("ckpt_path"),
            FindingText(
                "wan_unsupported",
                "The trainer supports no Wan model of type `{kind}` and width {width}.",
                "Use a supported model: T2V, I2V, FLF2V of 2.1, T2V, I2V, TI2V-5B of 2.2.",
            ),
            kind=shown(kind),
            width=shown(width),
        )
        return
    _check_weights(model, root, at, findings)
    _check_variant(model, root, (kind, width), at, findings)
    for name in _files(model, root, kind):
        _check_file(directory, name, at("ckpt_path"), findings)
    if not paths.is_directory(directory / _TOKENIZER):
        findings.error(
            at("ckpt_path"),
            FindingText(
                "wan_tokenizer_missing",
                "The tokenizer's directory `{tokenizer}` is missing in it.",
                "Download the original checkpoint; you may omit its transformer if you have it as a file.",
            ),
            tokenizer=_TOKENIZER,
        )


def _check_weights(model: dict[str, Any], root: Path | None, at: Any, findings: Findings) -> None:
    transformer = wan_transformer(model, root)
    if transformer is None or not paths.is_directory(transformer) or "transformer_path" in model:
        return
    names = paths.safetensors_in(transformer)
    if not names:
        findings.error(
            at("ckpt_path"),
            FindingText(
                "wan_transformer_missing",
                "This directory has no weights of the transformer.",
                "Download them, or set transformer_path to a file or, for Wan 2.2, to one of its two subdirectories.",
            ),
        )
    for name in names[:64]:
        paths.check_weights(transformer / name, at("ckpt_path"), findings)


def _check_variant(
    model: dict[str, Any], root: Path | None, configured: tuple[str, int | None], at: Any, findings: Findings
) -> None:
    """Check that config.json and the weights belong to the same model."""
    transformer = wan_transformer(model, root)
    found = recognise(merged(paths.headers_of(transformer))) if transformer is not None else None
    expected = None if found is None else _CONFIG_OF.get(found.name)
    if found is None or expected is None or expected == configured:
        return
    findings.error(
        at("transformer_path" if model.get("transformer_path") else "ckpt_path"),
        FindingText(
            "wan_config_differs",
            "These weights are {title}, but config.json names `{type}` with width {width}.",
            "Set a ckpt_path whose config.json has model_type `{expected_type}` and dim {expected_width}.",
        ),
        title=coded_title(found.title),
        type=shown(configured[0]),
        width=configured[1],
        expected_type=expected[0],
        expected_width=expected[1],
    )


def _files(model: dict[str, Any], root: Path | None, kind: str) -> list[str]:
    """Return the files that the trainer opens in the directory besides the transformer."""
    names = [_VAE_22 if kind == "ti2v" else _VAE]
    if not model.get("llm_path"):
        names.append(_TEXT_ENCODER)
    transformer = wan_transformer(model, root)
    headers = [] if transformer is None else paths.headers_of(transformer)
    if kind == "flf2v" or (kind == "i2v" and any(IMAGE_MARK in header.shapes for header in headers)):
        names.append(_CLIP)
    return names


def _check_file(directory: Path, name: str, at: str, findings: Findings) -> None:
    path = directory / name
    mode = paths.mode_of(path)
    if mode is None:
        remedy = "Download the original checkpoint"
        if name == _TEXT_ENCODER:
            remedy += ", or set llm_path to a .safetensors file of UMT5-XXL"
        findings.error(
            at, FindingText("wan_file_missing", "`{name}` is missing in it.", "{action}."), name=name, action=remedy
        )
    elif not os.access(path, os.R_OK):
        findings.error(
            at,
            FindingText(
                "wan_file_unreadable", "`{name}` in it cannot be read.", "Give the service's user read permission."
            ),
            name=name,
        )
    else:
        paths.check_weights(path, at, findings, _remedy(name))
        found = recognise(merged(paths.headers_of(path)))
        if found is not None and found.name != _CONTENTS[name]:
            findings.error(
                at,
                FindingText(
                    "wan_file_other", "`{name}` in it is {title}.", "Download it from the original checkpoint again."
                ),
                name=name,
                title=coded_title(found.title),
            )
        elif paths.is_safetensors(path):
            findings.error(
                at,
                FindingText(
                    "wan_file_safetensors",
                    "`{name}` in it is a safetensors file, but the trainer unpickles files with this name and fails.",
                ),
                remedy=_instead(name),
                name=name,
            )


def _instead(name: str) -> Reason:
    """Return the remedy for a safetensors file whose name makes the trainer unpickle it."""
    if name == _TEXT_ENCODER:
        return Reason.of("Rename it to end in .safetensors, and set llm_path to it.", "advice_rename_encoder")
    return Reason.of("Download the original checkpoint's own file.", "advice_original_file")


def _remedy(name: str) -> Reason:
    """Return the remedy for a pickle; the trainer unpickles files with these names in any case."""
    if name == _TEXT_ENCODER:
        return Reason.of(
            "If you trust its source, run the service with ALLOW_PICKLED_WEIGHTS=1, or set llm_path to UMT5-XXL as"
            " .safetensors.",
            "advice_allow_pickle_or_encoder",
        )
    return Reason.of("If you trust its source, run the service with ALLOW_PICKLED_WEIGHTS=1.", "advice_allow_pickle")
