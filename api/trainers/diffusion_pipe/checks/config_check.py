"""Check the training configuration as a whole: required keys, and keys that contradict each other."""

import math
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers.diffusion_pipe.config import paths
from api.trainers.diffusion_pipe.config.document import TrainerDocument, as_integer, number, positive
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.key_check import check_names, check_values
from api.trainers.diffusion_pipe.config.keys import ADAPTER, MODEL, MONITORING, OPTIMIZERS, TOP
from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.dataset.buckets import CLIP_MODES
from api.trainers.diffusion_pipe.models.description import ModelFacts
from api.trainers.diffusion_pipe.models.registry import MODELS

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
        findings.error(
            config.at("pipeline_stages"),
            FindingText(
                "pipelines_uneven",
                "{gpu_count} GPUs do not divide into pipelines of {stages}.",
                "Request a multiple of {stages} GPUs, or set pipeline_stages to a divisor of {gpu_count}.",
            ),
            gpu_count=gpu_count,
            stages=stages,
        )
    if config.table("optimizer").get("gradient_release") and gpu_count > stages:
        findings.error(
            config.at("optimizer", "gradient_release"),
            FindingText(
                "gradient_release_pipelines",
                "gradient_release works with one pipeline only.",
                "Set pipeline_stages to the number of GPUs ({gpu_count}), or remove gradient_release.",
            ),
            gpu_count=gpu_count,
        )
    _check_partition(config, stages, blocks, findings)
    _check_block_swap(config, stages, facts, findings)


def check_clip_mode(config: TrainerDocument, facts: ModelFacts | None, has_videos: bool, findings: Findings) -> None:
    """Check that the trainer knows the mode that selects the part of a video; without videos it is not read."""
    mode = config.values.get("video_clip_mode", CLIP_MODES[0])
    if mode not in CLIP_MODES and (facts is None or facts.framerate is not None):
        add = findings.error if has_videos else findings.warn
        add(
            config.at("video_clip_mode"),
            FindingText(
                "clip_mode_unknown",
                "The trainer has no mode `{mode}`, and hangs at the first video.",
                "Set 'single_beginning' or 'single_middle'.",
            ),
            mode=shown(mode),
        )


def check_flux2_stages(config: TrainerDocument, model_type: str | None, root: Path | None, findings: Findings) -> None:
    """Check that the pipeline of flux2 can start: with 3 or more stages, unfixed versions of the trainer hang."""
    stages = positive(config.values.get("pipeline_stages", 1), 1)
    if model_type != "flux2" or stages < 3 or root is None:
        return
    if _FIXED_SOURCE not in paths.read_start(root / "utils" / "patches.py", _MAX_SOURCE_BYTES):
        findings.error(
            config.at("pipeline_stages"),
            FindingText(
                "flux2_stages",
                "With 3 or more stages, this version of the trainer hangs before the first step of flux2.",
                "Use 1 or 2 stages, or update the trainer (pull request #544).",
            ),
        )


def _check_required(config: TrainerDocument, findings: Findings) -> None:
    is_constant = config.values.get("lr_scheduler", "constant") == "constant"  # the others divide by the epochs
    if "epochs" not in config.values and is_constant and number(config.values.get("max_steps")):
        findings.warn(
            config.at("epochs"),
            FindingText(
                "epochs_missing_for_steps",
                (
                    "`epochs` is missing. The trainer fails at the end of the first epoch, unless max_steps ends "
                    "it before."
                ),
                "Set the number of epochs.",
            ),
        )
    elif "epochs" not in config.values:
        findings.error(
            config.at("epochs"), FindingText("epochs_missing", "`epochs` is missing.", "Set the number of epochs.")
        )
    for name, what in (("model", "the model"), ("optimizer", "the optimizer")):
        if name not in config.values:
            findings.error(
                config.at(name),
                FindingText("table_missing", "`{name}` is missing.", "Set {what}."),
                name=name,
                what=what,
            )
    if config.values.get("epochs") == 0 and config.values.get("lr_scheduler") == "cosine":
        findings.error(
            config.at("epochs"),
            FindingText(
                "no_epochs_for_cosine",
                "0 epochs make the cosine scheduler divide by zero.",
                "Set the number of epochs.",
            ),
        )
    elif config.values.get("epochs") == math.inf and not config.values.get("max_steps"):
        findings.warn(
            config.at("epochs"),
            FindingText("training_endless", "The training never ends by itself.", "Set a number, or set max_steps."),
        )
    elif (epochs := number(config.values.get("epochs"))) is not None and epochs < 1:
        findings.warn(
            config.at("epochs"),
            FindingText("less_than_one_epoch", "The trainer trains one epoch even if this is less.", "Set epochs = 1."),
        )
    if "lora" in config.values:
        findings.error(
            config.at("lora"),
            FindingText(
                "lora_table_outdated", "The trainer expects a data type of an older version in [lora] and fails."
            ),
            remedy=Reason.of("Remove [lora]: [adapter] has replaced it.", "advice_remove_lora")
            if "adapter" in config.values
            else Reason.of("Rename [lora] to [adapter], and add type = 'lora'.", "advice_rename_lora"),
        )
    if config.values.get("resume_from_checkpoint"):
        findings.warn(
            config.at("resume_from_checkpoint"),
            FindingText(
                "resume_key_removed",
                (
                    "The service removes this key: new tasks start from the beginning, and resumed ones get a run "
                    "directory."
                ),
                "Resume the earlier task instead.",
            ),
        )


def _check_saves(config: TrainerDocument, batches: Batches, findings: Findings) -> None:
    if not any(name in config.values for name in _SAVES):
        findings.error(
            config.at("save_every_n_epochs"),
            FindingText(
                "save_interval_missing",
                "No key sets how often the model is saved.",
                "Set save_every_n_epochs, save_every_n_steps or save_every_n_examples.",
            ),
        )
    examples = number(config.values.get("save_every_n_examples"))
    if examples is not None and 0 < examples < batches.global_size:
        findings.error(
            config.at("save_every_n_examples"),
            FindingText(
                "save_examples_too_few",
                "The value is less than the {examples} examples of one step, so the trainer divides by zero.",
                "Set it to {examples} or more.",
            ),
            examples=batches.global_size,
        )
    if examples and "save_every_n_steps" in config.values:
        findings.warn(
            config.at("save_every_n_steps"),
            FindingText(
                "save_steps_overridden",
                "`save_every_n_examples` is set as well and takes precedence.",
                "Remove one of them.",
            ),
        )
    if not any(name in config.values for name in _CHECKPOINTS):
        findings.warn(
            config.at("checkpoint_every_n_minutes"),
            FindingText(
                "checkpoints_missing",
                (
                    "The training saves no checkpoints by itself, so a crash loses all progress. A stop through the "
                    "service still saves one."
                ),
                "Set checkpoint_every_n_minutes (for example 120) or checkpoint_every_n_epochs.",
            ),
        )


def _check_evaluations(config: TrainerDocument, batches: Batches, findings: Findings) -> None:
    values = config.values
    examples = number(values.get("eval_every_n_examples"))
    if examples is not None and 0 < examples < batches.global_size:
        findings.warn(
            config.at("eval_every_n_examples"),
            FindingText(
                "eval_examples_too_few",
                "The value is less than the {examples} examples of one step, so it triggers no evaluation.",
                "Set it to {examples} or more.",
            ),
            examples=batches.global_size,
        )
    if examples and values.get("eval_every_n_steps"):
        findings.warn(
            config.at("eval_every_n_steps"),
            FindingText(
                "eval_steps_overridden",
                "`eval_every_n_examples` is set as well and takes precedence.",
                "Remove one of them.",
            ),
        )
    if values.get("eval_datasets") and not any(values.get(name) for name in _EVALUATIONS):
        findings.warn(
            config.at("eval_datasets"),
            FindingText(
                "eval_interval_missing",
                "No key sets how often to evaluate, so the trainer evaluates only before the first step.",
                "Set eval_every_n_epochs, eval_every_n_steps or eval_every_n_examples.",
            ),
        )


def _check_odds(config: TrainerDocument, findings: Findings) -> None:
    warmup = number(config.values.get("warmup_steps"))
    if warmup is not None and 0 < warmup < 1:
        findings.error(
            config.at("warmup_steps"),
            FindingText(
                "warmup_fraction",
                "The trainer expects a number of steps and fails on a fraction.",
                "Set a number of steps, or remove the key.",
            ),
        )
    checkpointing = config.values.get("activation_checkpointing", False)
    if checkpointing and checkpointing not in (True, "unsloth"):
        findings.error(
            config.at("activation_checkpointing"),
            FindingText(
                "activation_checkpointing_invalid",
                "The value is not true, false or 'unsloth'.",
                "Set true, false or 'unsloth'.",
            ),
        )
    if config.values.get("reentrant_activation_checkpointing") and not checkpointing:
        findings.warn(
            config.at("reentrant_activation_checkpointing"),
            FindingText(
                "activation_checkpointing_off",
                "Without activation_checkpointing this key is ignored.",
                "Set activation_checkpointing = true, or remove this key.",
            ),
        )
    if config.table("optimizer").get("gradient_release") and config.values.get("gradient_clipping"):
        findings.warn(
            config.at("gradient_clipping"),
            FindingText(
                "gradient_release_clipping",
                "With gradient_release the trainer does not clip gradients.",
                "Remove one of them.",
            ),
        )
    if config.values.get("uncond_fraction") == 1:
        findings.warn(
            config.at("uncond_fraction"),
            FindingText("captions_unused", "With 1, no caption is ever used.", "Set a small share, for example 0.1."),
        )
    if positive(config.values.get("steps_per_print"), 1) != 1:
        findings.warn(
            config.at("steps_per_print"),
            FindingText(
                "steps_not_printed",
                "The service reads progress from printed steps, but the trainer would not print each.",
                "Set steps_per_print to 1.",
            ),
        )
    if "huber_delta" in config.values and "smooth_l1_beta" in config.values:
        findings.warn(
            config.at("smooth_l1_beta"),
            FindingText("huber_overrides", "`huber_delta` is set as well and takes precedence.", "Remove one of them."),
        )


def _check_monitoring(config: TrainerDocument, findings: Findings) -> None:
    monitoring = config.table("monitoring")
    at = partial(config.at, "monitoring")
    check_names(monitoring, MONITORING, at, findings)
    if not monitoring.get("enable_wandb"):
        return
    check_values(monitoring, MONITORING, at, findings)
    for name in ("wandb_api_key", "wandb_tracker_name", "wandb_run_name"):
        if name not in monitoring:
            findings.error(
                config.at("monitoring", name),
                FindingText("wandb_key_missing", "Weights & Biases needs `{name}`.", "Set `{name}`."),
                name=name,
            )
        elif name != "wandb_api_key" and monitoring[name] == "":
            findings.warn(
                config.at("monitoring", name),
                FindingText("wandb_name_empty", "`{name}` is empty.", "Set a name."),
                name=name,
            )


def _check_partition(config: TrainerDocument, stages: int, blocks: int, findings: Findings) -> None:
    method = config.values.get("partition_method", "parameters")
    split = config.values.get("partition_split")
    if not isinstance(method, str):
        return
    if method.lower() not in _PARTITION_METHODS and not method.lower().startswith("type:"):
        findings.error(
            config.at("partition_method"),
            FindingText(
                "partition_method_unknown",
                "`{method}` is not a known method.",
                "Set 'parameters', or 'manual' with partition_split.",
            ),
            method=shown(method),
        )
    elif method.lower() != "manual":
        if split is not None:
            findings.warn(
                config.at("partition_split"),
                FindingText(
                    "partition_split_ignored",
                    "This key is ignored without partition_method = 'manual'.",
                    "Set both or neither.",
                ),
            )
    elif stages == 1 and split != []:
        findings.error(
            config.at("partition_method"),
            FindingText(
                "partition_of_one_stage",
                "The model has one pipeline stage, so there is nothing to split, and the trainer fails.",
                "Set partition_method = 'parameters' and remove partition_split, or raise pipeline_stages.",
            ),
        )
    elif not isinstance(split, list) or not _is_rising(split) or len(split) != stages - 1:
        findings.error(
            config.at("partition_split"),
            FindingText(
                "partition_split_invalid",
                "This is not a list of the {splits} layers at which {stages} pipeline stages are split.",
                "List {splits} rising layer numbers (pipeline_stages - 1).",
            ),
            splits=stages - 1,
            stages=stages,
        )
    elif blocks and split and split[-1] >= blocks + _MORE_LAYERS:
        findings.error(
            config.at("partition_split", len(split) - 1),
            FindingText(
                "partition_split_too_high",
                "The model has about {blocks} layers, so nothing is left for the last stage.",
                "Set a number below {blocks}.",
            ),
            blocks=blocks,
        )


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
        findings.error(
            at,
            FindingText(
                "block_swap_unsupported", "The trainer cannot swap blocks of this model type.", "Remove blocks_to_swap."
            ),
        )
    if "adapter" not in config.values:
        findings.error(
            at,
            FindingText(
                "block_swap_needs_adapter",
                "The trainer swaps blocks only when it trains an adapter.",
                "Remove it, or add [adapter].",
            ),
        )
    if stages > 1:
        findings.error(
            at,
            FindingText(
                "block_swap_stages", "The trainer swaps blocks only with pipeline_stages = 1.", "Remove one of the two."
            ),
        )
