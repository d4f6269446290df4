"""Checks the training configuration as a whole: required keys, and keys that contradict each other."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.batches import Batches
from api.trainers.diffusion_pipe.document import TrainerDocument, as_integer, number, positive
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.key_check import check_names, check_values
from api.trainers.diffusion_pipe.keys import ADAPTER, MODEL, MONITORING, OPTIMIZERS, TOP
from api.trainers.diffusion_pipe.model_types import MODELS, ModelFacts
from api.trainers.diffusion_pipe.retiming import CLIP_MODES
from api.trainers.pointers import shown

_SAVES = ("save_every_n_epochs", "save_every_n_steps", "save_every_n_examples")
_CHECKPOINTS = ("checkpoint_every_n_epochs", "checkpoint_every_n_minutes")
_EVALUATIONS = ("eval_every_n_epochs", "eval_every_n_steps", "eval_every_n_examples")
#: Text that only the fixed version of the trainer's `utils/patches.py` contains.
_FIXED_SOURCE = b"_allocate_or_extend_buffers"
_MAX_SOURCE_BYTES = 1024 * 1024

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
    check_values(config.values, TOP, config.at, findings)
    _check_required(config, findings)
    _check_saves(config, batches, findings)
    _check_evaluations(config, batches, findings)
    _check_odds(config, findings)
    _check_monitoring(config, findings)


def check_parallelism(config: TrainerDocument, gpu_count: int, facts: ModelFacts | None, findings: Findings) -> None:
    """Check that the GPUs divide into pipelines, and settings that pipelines exclude."""
    stages = positive(config.values.get("pipeline_stages", 1), 1)
    if gpu_count % stages:
        findings.error(
            config.at("pipeline_stages"),
            f"{gpu_count} GPUs do not divide into pipelines of {stages}.",
            f"Request a multiple of {stages} GPUs, or set pipeline_stages to a divisor of {gpu_count}.",
        )
    if config.table("optimizer").get("gradient_release") and gpu_count > stages:
        findings.error(
            config.at("optimizer", "gradient_release"),
            "gradient_release works with one pipeline only.",
            f"Set pipeline_stages to the number of GPUs ({gpu_count}), or remove gradient_release.",
        )
    check_clip_mode(config, facts, findings)
    _check_partition(config, stages, findings)
    _check_block_swap(config, stages, facts, findings)


def check_clip_mode(config: TrainerDocument, facts: ModelFacts | None, findings: Findings) -> None:
    """Check that the trainer knows the mode that selects the part of a video."""
    mode = config.values.get("video_clip_mode", CLIP_MODES[0])
    if mode not in CLIP_MODES and (facts is None or facts.framerate is not None):
        advice = "Set 'single_beginning' or 'single_middle'."
        findings.error(config.at("video_clip_mode"), "The trainer hangs with any other mode.", advice)


def check_flux2_stages(config: TrainerDocument, model_type: str | None, root: Path | None, findings: Findings) -> None:
    """Check that the pipeline of flux2 can start: with 3 or more stages, unfixed versions of the trainer hang."""
    stages = positive(config.values.get("pipeline_stages", 1), 1)
    if model_type != "flux2" or stages < 3 or root is None:
        return
    if _FIXED_SOURCE not in paths.read_start(root / "utils" / "patches.py", _MAX_SOURCE_BYTES):
        findings.error(
            config.at("pipeline_stages"),
            "With 3 or more stages, this version of the trainer hangs before the first step of flux2.",
            "Use 1 or 2 stages, or update the trainer (pull request #544).",
        )


def _check_required(config: TrainerDocument, findings: Findings) -> None:
    for name, what in (("epochs", "the number of epochs"), ("model", "the model"), ("optimizer", "the optimizer")):
        if name not in config.values:
            findings.error(config.at(name), f"`{name}` is missing.", f"Set {what}.")
    if (epochs := number(config.values.get("epochs"))) is not None and epochs < 1:
        findings.warn(config.at("epochs"), "The trainer trains one epoch even if this is less.", "Set epochs = 1.")
    if "lora" in config.values:
        findings.error(
            config.at("lora"),
            "The trainer expects a data type of an older version in [lora] and fails.",
            "Write [adapter] with type = 'lora'.",
        )
    if config.values.get("resume_from_checkpoint"):
        findings.warn(
            config.at("resume_from_checkpoint"),
            "The service removes this key: new tasks start from the beginning, and resumed ones get a run directory.",
            "Resume the earlier task instead.",
        )


def _check_saves(config: TrainerDocument, batches: Batches, findings: Findings) -> None:
    if not any(name in config.values for name in _SAVES):
        findings.error(
            config.at("save_every_n_epochs"),
            "No key sets how often the model is saved.",
            "Set save_every_n_epochs, save_every_n_steps or save_every_n_examples.",
        )
    examples = number(config.values.get("save_every_n_examples"))
    if examples is not None and 0 < examples < batches.global_size:
        findings.error(
            config.at("save_every_n_examples"),
            f"The value is less than the {batches.global_size} examples of one step, so the trainer divides by zero.",
            f"Set it to {batches.global_size} or more.",
        )
    if not any(name in config.values for name in _CHECKPOINTS):
        findings.warn(
            config.at("checkpoint_every_n_minutes"),
            "The training saves no checkpoints by itself, so a crash loses all progress."
            " A stop through the service still saves one.",
            "Set checkpoint_every_n_minutes (for example 120) or checkpoint_every_n_epochs.",
        )


def _check_evaluations(config: TrainerDocument, batches: Batches, findings: Findings) -> None:
    values = config.values
    examples = number(values.get("eval_every_n_examples"))
    if examples is not None and 0 < examples < batches.global_size:
        findings.warn(
            config.at("eval_every_n_examples"),
            f"The value is less than the {batches.global_size} examples of one step, so it triggers no evaluation.",
            f"Set it to {batches.global_size} or more.",
        )
    if values.get("eval_datasets") and not any(values.get(name) for name in _EVALUATIONS):
        findings.warn(
            config.at("eval_datasets"),
            "No key sets how often to evaluate, so the trainer evaluates only before the first step.",
            "Set eval_every_n_epochs, eval_every_n_steps or eval_every_n_examples.",
        )


def _check_odds(config: TrainerDocument, findings: Findings) -> None:
    warmup = number(config.values.get("warmup_steps"))
    if warmup is not None and 0 < warmup < 1:
        findings.error(
            config.at("warmup_steps"),
            "The trainer expects a number of steps and fails on a fraction.",
            "Set a number of steps, or remove the key.",
        )
    checkpointing = config.values.get("activation_checkpointing", False)
    if checkpointing and checkpointing not in (True, "unsloth"):
        findings.error(
            config.at("activation_checkpointing"),
            "The value is not true, false or 'unsloth'.",
            "Set true, false or 'unsloth'.",
        )
    if positive(config.values.get("steps_per_print"), 1) != 1:
        findings.warn(
            config.at("steps_per_print"),
            "The service reads progress from printed steps, but the trainer would not print each.",
            "Set steps_per_print to 1.",
        )
    if "huber_delta" in config.values and "smooth_l1_beta" in config.values:
        findings.warn(
            config.at("smooth_l1_beta"), "`huber_delta` is set as well and takes precedence.", "Remove one of them."
        )


def _check_monitoring(config: TrainerDocument, findings: Findings) -> None:
    monitoring = config.table("monitoring")
    at = partial(config.at, "monitoring")
    check_names(monitoring, MONITORING, at, findings)
    check_values(monitoring, MONITORING, at, findings)
    if not monitoring.get("enable_wandb"):
        return
    for name in ("wandb_api_key", "wandb_tracker_name", "wandb_run_name"):
        if name not in monitoring:
            findings.error(config.at("monitoring", name), f"Weights & Biases needs `{name}`.", f"Set `{name}`.")
        elif name != "wandb_api_key" and monitoring[name] == "":
            findings.warn(config.at("monitoring", name), f"`{name}` is empty.", "Set a name.")


def _check_partition(config: TrainerDocument, stages: int, findings: Findings) -> None:
    method = config.values.get("partition_method", "parameters")
    split = config.values.get("partition_split")
    if not isinstance(method, str):
        return
    if method.lower() not in _PARTITION_METHODS and not method.lower().startswith("type:"):
        findings.error(
            config.at("partition_method"),
            f"`{shown(method)}` is not a known method.",
            "Set 'parameters', or 'manual' with partition_split.",
        )
    elif method.lower() != "manual":
        if split is not None:
            findings.warn(
                config.at("partition_split"),
                "This key is ignored without partition_method = 'manual'.",
                "Set both or neither.",
            )
    elif not isinstance(split, list) or not _is_rising(split) or len(split) != stages - 1:
        findings.error(
            config.at("partition_split"),
            f"This is not a list of the {stages - 1} layers at which {stages} pipeline stages are split.",
            f"List {stages - 1} rising layer numbers (pipeline_stages - 1).",
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
        findings.error(at, "The trainer cannot swap blocks of this model type.", "Remove blocks_to_swap.")
    if "adapter" not in config.values:
        findings.error(at, "The trainer swaps blocks only when it trains an adapter.", "Remove it, or add [adapter].")
    if stages > 1:
        findings.error(at, "The trainer swaps blocks only with pipeline_stages = 1.", "Remove one of the two.")
