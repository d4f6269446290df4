"""Check the training configuration as a whole: required keys, and keys that contradict each other."""

import math
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.batches import Batches
from api.trainers.diffusion_pipe.buckets import CLIP_MODES
from api.trainers.diffusion_pipe.document import TrainerDocument, as_integer, number, positive
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.key_check import check_names, check_values
from api.trainers.diffusion_pipe.keys import ADAPTER, MODEL, MONITORING, OPTIMIZERS, TOP
from api.trainers.diffusion_pipe.model_types import MODELS, ModelFacts

_SAVES = ("save_every_n_epochs", "save_every_n_steps", "save_every_n_examples")
_CHECKPOINTS = ("checkpoint_every_n_epochs", "checkpoint_every_n_minutes")
_EVALUATIONS = ("eval_every_n_epochs", "eval_every_n_steps", "eval_every_n_examples")
#: Text that only the fixed version of the trainer's `utils/patches.py` contains.
_FIXED_SOURCE = b"_allocate_or_extend_buffers"
_MAX_SOURCE_BYTES = 1024 * 1024

#: More layers than any model has besides its blocks.
_MORE_LAYERS = 8

_PARTITION_METHODS = ("parameters", "uniform", "manual")

#: The table of keys that users often write elsewhere.
_ELSEWHERE = {
    **dict.fromkeys(MODEL, "[model]"),
    **dict.fromkeys(MONITORING, "[monitoring]"),
    **{name: "[optimizer]" for known in OPTIMIZERS.values() for name in known},
    **{name: "[adapter]" for name in ADAPTER if name not in ("type", "dtype")},
    **{name: "[model]" for facts in MODELS.values() for name in facts.kinds},
}


def check_config(config: TrainerDocument, batches: Batches, findings: Findings) -> None:
    """Check the top level and [monitoring]; other modules check the other tables."""
    check_names(config.values, TOP, config.at, findings, _ELSEWHERE)
    unread = _list_unread(config)
    check_values({name: value for name, value in config.values.items() if name not in unread}, TOP, config.at, findings)
    _check_required(config, findings)
    _check_saves(config, batches, findings)
    _check_evaluations(config, batches, findings)
    _check_odds(config, findings)
    _check_monitoring(config, findings)


def _list_unread(config: TrainerDocument) -> set[str]:
    """Return the keys whose values the trainer does not use, because of other keys."""
    unread = set() if config.values.get("eval_datasets") else {"eval_gradient_accumulation_steps"}
    method = config.values.get("partition_method", "parameters")
    return unread if isinstance(method, str) and method.lower() == "manual" else unread | {"partition_split"}


def check_parallelism(
    config: TrainerDocument, gpu_count: int, facts: ModelFacts | None, findings: Findings, blocks: int = 0
) -> None:
    """Check that the GPUs divide into pipelines, and settings that pipelines exclude.

    `blocks` is the number of the model's blocks, 0 if it is unknown.
    """
    stages = positive(config.values.get("pipeline_stages", 1), 1)
    if gpu_count % stages:
        findings.error(config.at("pipeline_stages"), "pipelines_uneven", gpu_count=gpu_count, stages=stages)
    if config.table("optimizer").get("gradient_release") and gpu_count > stages:
        findings.error(config.at("optimizer", "gradient_release"), "gradient_release_pipelines", gpu_count=gpu_count)
    _check_partition(config, stages, blocks, findings)
    _check_block_swap(config, stages, facts, findings)


def check_clip_mode(config: TrainerDocument, facts: ModelFacts | None, has_videos: bool, findings: Findings) -> None:
    """Check that the trainer knows the mode that selects the part of a video; without videos it is not read."""
    mode = config.values.get("video_clip_mode", CLIP_MODES[0])
    if mode not in CLIP_MODES and (facts is None or facts.framerate is not None):
        add = findings.error if has_videos else findings.warn
        add(config.at("video_clip_mode"), "clip_mode_unknown", mode=shown(mode))


def check_flux2_stages(config: TrainerDocument, model_type: str | None, root: Path | None, findings: Findings) -> None:
    """Check that the pipeline of flux2 can start: with 3 or more stages, unfixed versions of the trainer hang."""
    stages = positive(config.values.get("pipeline_stages", 1), 1)
    if model_type != "flux2" or stages < 3 or root is None:
        return
    if _FIXED_SOURCE not in paths.read_start(root / "utils" / "patches.py", _MAX_SOURCE_BYTES):
        findings.error(config.at("pipeline_stages"), "flux2_stages")


def _check_required(config: TrainerDocument, findings: Findings) -> None:
    is_constant = config.values.get("lr_scheduler", "constant") == "constant"  # the others divide by the epochs
    if "epochs" not in config.values and is_constant and number(config.values.get("max_steps")):
        findings.warn(config.at("epochs"), "epochs_missing_for_steps")
    elif "epochs" not in config.values:
        findings.error(config.at("epochs"), "epochs_missing")
    for name, what in (("model", "the model"), ("optimizer", "the optimizer")):
        if name not in config.values:
            findings.error(config.at(name), "table_missing", name=name, what=what)
    if config.values.get("epochs") == 0 and config.values.get("lr_scheduler") == "cosine":
        findings.error(config.at("epochs"), "no_epochs_for_cosine")
    elif config.values.get("epochs") == math.inf and not config.values.get("max_steps"):
        findings.warn(config.at("epochs"), "training_endless")
    elif (epochs := number(config.values.get("epochs"))) is not None and epochs < 1:
        findings.warn(config.at("epochs"), "less_than_one_epoch")
    if "lora" in config.values:
        findings.error(
            config.at("lora"),
            "lora_table_outdated",
            remedy=Reason.of("Remove [lora]: [adapter] has replaced it.", "advice_remove_lora")
            if "adapter" in config.values
            else Reason.of("Rename [lora] to [adapter], and add type = 'lora'.", "advice_rename_lora"),
        )
    if config.values.get("resume_from_checkpoint"):
        findings.warn(config.at("resume_from_checkpoint"), "resume_key_removed")


def _check_saves(config: TrainerDocument, batches: Batches, findings: Findings) -> None:
    if not any(name in config.values for name in _SAVES):
        findings.error(config.at("save_every_n_epochs"), "save_interval_missing")
    examples = number(config.values.get("save_every_n_examples"))
    if examples is not None and 0 < examples < batches.global_size:
        findings.error(config.at("save_every_n_examples"), "save_examples_too_few", examples=batches.global_size)
    if examples and "save_every_n_steps" in config.values:
        findings.warn(config.at("save_every_n_steps"), "save_steps_overridden")
    if not any(name in config.values for name in _CHECKPOINTS):
        findings.warn(config.at("checkpoint_every_n_minutes"), "checkpoints_missing")


def _check_evaluations(config: TrainerDocument, batches: Batches, findings: Findings) -> None:
    values = config.values
    examples = number(values.get("eval_every_n_examples"))
    if examples is not None and 0 < examples < batches.global_size:
        findings.warn(config.at("eval_every_n_examples"), "eval_examples_too_few", examples=batches.global_size)
    if examples and values.get("eval_every_n_steps"):
        findings.warn(config.at("eval_every_n_steps"), "eval_steps_overridden")
    if values.get("eval_datasets") and not any(values.get(name) for name in _EVALUATIONS):
        findings.warn(config.at("eval_datasets"), "eval_interval_missing")


def _check_odds(config: TrainerDocument, findings: Findings) -> None:
    warmup = number(config.values.get("warmup_steps"))
    if warmup is not None and 0 < warmup < 1:
        findings.error(config.at("warmup_steps"), "warmup_fraction")
    checkpointing = config.values.get("activation_checkpointing", False)
    if checkpointing and checkpointing not in (True, "unsloth"):
        findings.error(config.at("activation_checkpointing"), "activation_checkpointing_invalid")
    if config.values.get("reentrant_activation_checkpointing") and not checkpointing:
        findings.warn(config.at("reentrant_activation_checkpointing"), "activation_checkpointing_off")
    if config.table("optimizer").get("gradient_release") and config.values.get("gradient_clipping"):
        findings.warn(config.at("gradient_clipping"), "gradient_release_clipping")
    if config.values.get("uncond_fraction") == 1:
        findings.warn(config.at("uncond_fraction"), "captions_unused")
    if positive(config.values.get("steps_per_print"), 1) != 1:
        findings.warn(config.at("steps_per_print"), "steps_not_printed")
    if "huber_delta" in config.values and "smooth_l1_beta" in config.values:
        findings.warn(config.at("smooth_l1_beta"), "huber_overrides")


def _check_monitoring(config: TrainerDocument, findings: Findings) -> None:
    monitoring = config.table("monitoring")
    at = partial(config.at, "monitoring")
    check_names(monitoring, MONITORING, at, findings)
    if not monitoring.get("enable_wandb"):
        return
    check_values(monitoring, MONITORING, at, findings)
    for name in ("wandb_api_key", "wandb_tracker_name", "wandb_run_name"):
        if name not in monitoring:
            findings.error(config.at("monitoring", name), "wandb_key_missing", name=name)
        elif name != "wandb_api_key" and monitoring[name] == "":
            findings.warn(config.at("monitoring", name), "wandb_name_empty", name=name)


def _check_partition(config: TrainerDocument, stages: int, blocks: int, findings: Findings) -> None:
    method = config.values.get("partition_method", "parameters")
    split = config.values.get("partition_split")
    if not isinstance(method, str):
        return
    if method.lower() not in _PARTITION_METHODS and not method.lower().startswith("type:"):
        findings.error(config.at("partition_method"), "partition_method_unknown", method=shown(method))
    elif method.lower() != "manual":
        if split is not None:
            findings.warn(config.at("partition_split"), "partition_split_ignored")
    elif stages == 1 and split != []:
        findings.error(config.at("partition_method"), "partition_of_one_stage")
    elif not isinstance(split, list) or not _is_rising(split) or len(split) != stages - 1:
        findings.error(config.at("partition_split"), "partition_split_invalid", splits=stages - 1, stages=stages)
    elif blocks and split and split[-1] >= blocks + _MORE_LAYERS:
        findings.error(config.at("partition_split", len(split) - 1), "partition_split_too_high", blocks=blocks)


def _is_rising(split: list[Any]) -> bool:
    numbers = [as_integer(layer) for layer in split]
    if any(layer is None or layer < 1 for layer in numbers):
        return False
    return all(a < b for a, b in pairwise(split))


def _check_block_swap(config: TrainerDocument, stages: int, facts: ModelFacts | None, findings: Findings) -> None:
    swapped = as_integer(config.values.get("blocks_to_swap"))
    if not swapped:
        return
    at = config.at("blocks_to_swap")
    if facts is not None and facts.swap is None:
        findings.error(at, "block_swap_unsupported")
    if "adapter" not in config.values:
        findings.error(at, "block_swap_needs_adapter")
    if stages > 1:
        findings.error(at, "block_swap_stages")
