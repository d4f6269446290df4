"""Check the content of model files: swappable blocks, data types, required parts, adapters, and a single candidate."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.models.part_titles import coded_title
from api.domain.reason import Reason
from api.errors import Finding, FindingText
from api.files.weights.adapters import read_adapter
from api.files.weights.recognition import recognise
from api.trainers.diffusion_pipe.checks.model_check import check_model
from api.trainers.diffusion_pipe.checks.slots_check import check_slots
from api.trainers.diffusion_pipe.checks.wan_files import check_wan_files, wan_config
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.document import TrainerDocument, as_integer
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.models.description import ModelFacts, Swap
from api.trainers.diffusion_pipe.models.registry import MODELS

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
    _check_adapter_files(config, model_type, root, findings)
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
        FindingText(
            "blocks_too_many",
            (
                "This model has {blocks} blocks, of which at most {most} can be swapped; with more, the trainer "
                "fails after loading."
            ),
            "Set blocks_to_swap to {most} or less.",
        ),
        blocks=" + ".join(map(str, blocks)),
        most=most,
    )


def _blocks(model: dict[str, Any], swap: Swap, root: Path | None) -> tuple[tuple[int, ...] | None, bool]:
    """Return the number of blocks of each list, and whether it is certain."""
    if swap.blocks is not None and swap.is_certain:
        return swap.blocks, True
    text = model.get(swap.key)
    path = paths.resolve(text, root)
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
            FindingText(
                "dtype_too_small",
                "The trainer also casts VAE and text encoders to this type, in which they do not work.",
            ),
            remedy=Reason.of(
                "Set dtype = 'bfloat16'; use {name} to shrink the large weights.",
                "advice_set_dtype_of_weights",
                name=facts.dtype_key,
            )
            if facts.dtype_key
            else Reason.of("Set dtype = 'bfloat16'.", "advice_set_dtype"),
        )
    if config.table("adapter").get("dtype") in _FLOAT8:
        findings.error(
            config.at("adapter", "dtype"),
            FindingText(
                "adapter_dtype_too_small",
                "An adapter cannot be trained in this type.",
                "Set dtype = 'bfloat16' in [adapter].",
            ),
        )
    small = model.get(facts.dtype_key or "")
    if small not in _FLOAT8:
        return
    if "adapter" not in config.values:
        findings.error(
            config.at("model", facts.dtype_key or ""),
            FindingText(
                "weights_dtype_too_small",
                "Without [adapter] the weights themselves are trained, which is impossible in this type.",
                "Remove the key, or add [adapter].",
            ),
        )
    elif model_type == "cosmos_predict2" and small != "float8_e5m2":
        findings.warn(
            config.at("model", facts.dtype_key or ""),
            FindingText(
                "float8_e5m2_only",
                "Of the small types, this model is known to work only with float8_e5m2.",
                "Set float8_e5m2.",
            ),
        )


def _check_hunyuan(config: TrainerDocument, root: Path | None, findings: Findings) -> None:
    model = config.table("model")
    text = model.get("ckpt_path")
    directory, at = (
        paths.resolve(text, root),
        config.at("model", "ckpt_path"),
    )
    if directory is None or not paths.is_directory(directory):
        return
    for key, name in _HUNYUAN_FILES.items():
        if model.get(key):
            continue
        if paths.mode_of(directory / name) is None:
            findings.error(
                at,
                FindingText(
                    "checkpoint_file_missing",
                    "`{name}` is missing in it.",
                    "Download the original checkpoint, or set {key}.",
                ),
                name=name,
                key=key,
            )
        else:
            paths.check_weights(directory / name, at, findings)
    for key, part in _HUNYUAN_PARTS.items():
        if key not in model and not paths.has_weights(directory / part):
            findings.error(
                at,
                FindingText(
                    "encoder_weights_missing",
                    "Its directory `{part}` has no weights, and `{key}` is not set.",
                    "Download the text encoder into it, or set {key}.",
                ),
                part=part,
                key=key,
            )


def _check_qwen(config: TrainerDocument, root: Path | None, findings: Findings) -> None:
    model = config.table("model")
    text = model.get("diffusers_path")
    directory = paths.resolve(text, root)
    if directory is None or not paths.is_directory(directory):
        return
    for part, key in _QWEN_PARTS.items():
        if key in model:
            continue
        if not paths.safetensors_in(directory / part):
            findings.error(
                config.at("model", "diffusers_path"),
                FindingText(
                    "part_weights_missing",
                    "Its directory `{part}` has no .safetensors files, and `{key}` is not set.",
                    "Download the complete model, or set {key}.",
                ),
                part=part,
                key=key,
            )
        for name in paths.safetensors_in(directory / part)[:64]:
            paths.check_weights(directory / part / name, config.at("model", "diffusers_path"), findings)


#: Types that share code and adapters with another type.
_SAME = {"anima": "cosmos_predict2"}


def _check_adapter_files(config: TrainerDocument, model_type: str, root: Path | None, findings: Findings) -> None:
    """Check that the adapters which a training merges, fuses or continues fit its model."""
    for at, text in _named(config):
        path = paths.resolve(text, root)
        headers = [] if path is None else paths.headers_of(path)
        if path is None or not headers:
            continue
        adapter, component = read_adapter(headers[0]), recognise(headers[0])
        if adapter is None and component is not None:
            findings.error(
                at,
                FindingText("not_an_adapter", "{path} is {component_title}.", "Set the path of an adapter (LoRA)."),
                path=shown(path.name),
                component_title=coded_title(component.title),
            )
        if adapter is None and component is None:
            findings.warn(
                at,
                FindingText(
                    "adapter_not_recognised",
                    "{path} is not recognised as an adapter; the trainer may fail to load it.",
                    "Set the path of an adapter (LoRA) for {model_type}.",
                ),
                path=shown(path.name),
                model_type=model_type,
            )
        trained_for = None if adapter is None else adapter.model_type
        if adapter is None or trained_for is None:
            continue
        if _SAME.get(trained_for, trained_for) == _SAME.get(model_type, model_type):
            continue
        add = findings.error if adapter.is_certain else findings.warn
        add(
            at,
            FindingText(
                "adapter_of_other_model",
                "{path} is an adapter for {trained_for}.",
                "Set the path of an adapter for {model_type}.",
            ),
            path=shown(path.name),
            trained_for=trained_for,
            model_type=model_type,
        )


def _named(config: TrainerDocument) -> Iterator[tuple[str, Any]]:
    merge, adapter = config.table("model").get("merge_adapters"), config.table("adapter")
    for index, text in enumerate(merge[:64] if isinstance(merge, list) else ()):
        yield config.at("model", "merge_adapters", index), text
    yield config.at("adapter", "init_from_existing"), adapter.get("init_from_existing")
    fused = adapter.get("fuse_adapters")
    for index, entry in enumerate(fused[:64] if isinstance(fused, list) else ()):
        if isinstance(entry, dict):
            yield f"{config.at('adapter', 'fuse_adapters', index)}/path", entry.get("path")


def check_candidate(
    model_type: str, key: str, path: Path, *, accepts_pickles: bool = False
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return the errors and warnings of a training that uses this path for this key."""
    model = {"type": model_type, "dtype": "bfloat16", key: _slot_value(model_type, key, path)}
    config = TrainerDocument({"model": model, "adapter": {"type": "lora", "rank": 32}}, "/config")
    findings = Findings(accepts_risks=accepts_pickles)
    check_model(config, model_type, None, findings)
    check_files(config, model_type, None, findings)
    at = config.at("model", key)
    return _about(at, findings.errors), _about(at, findings.warnings)


def _slot_value(model_type: str, key: str, path: Path) -> Any:
    if key == "text_encoders":
        return [{"paths": [str(path)], "type": MODELS[model_type].encoder_type}]
    return [str(path)] if key == "merge_adapters" else str(path)


def _about(at: str, mistakes: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings about the path itself, without those about missing keys and other files."""
    return tuple(
        each for each in mistakes if (each.pointer + "/").startswith(f"{at}/") and not each.pointer.endswith("/paths")
    )
