"""Every key that the trainer reads, by table, with its permitted values.

Taken from the trainer's `train.py`, `utils/dataset.py`, `utils/saver.py` and `models/base.py`, commit 8f83dbf.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from api.domain.reason import Reason
from api.trainers.diffusion_pipe.config.document import MAX_COUNT

DTYPES = ("float32", "float16", "bfloat16", "float8", "float8_e4m3fn", "float8_e5m2")


class KeyKind(StrEnum):
    """The type of a key's value, as messages name it."""

    WHOLE = "a whole number"
    NUMBER = "a number"
    TEXT = "a string"
    SWITCH = "true or false"
    LIST = "a list"
    TABLE = "a table"
    OTHER = "something that is checked elsewhere"


@dataclass(frozen=True, slots=True)
class Key:
    """The permitted values of a key; bounds are inclusive, except `above`."""

    kind: KeyKind
    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    infinite: bool = False  #: whether infinity is permitted
    divides: bool = False  #: whether the trainer divides by it
    truth: bool = False  #: whether true and false are permitted, which count as 1 and 0
    texts: bool = False  #: whether a number in quotes is permitted


MAX = MAX_COUNT

_COUNT = Key(KeyKind.WHOLE, least=1, most=MAX)
_COUNT_OR_NONE = Key(KeyKind.WHOLE, least=0, most=MAX)
# Keys that are only compared or divided by may have fractions. 0 means never where the trainer tests for truth first.
_EVERY = Key(KeyKind.NUMBER, above=0, most=MAX, divides=True, truth=True)
_EVERY_OR_NEVER = Key(KeyKind.NUMBER, least=0, most=MAX, truth=True)
_SWITCH = Key(KeyKind.SWITCH)
_TEXT = Key(KeyKind.TEXT)
_TABLE = Key(KeyKind.TABLE)
_LIST = Key(KeyKind.LIST)
_OTHER = Key(KeyKind.OTHER)
_DTYPE = Key(KeyKind.TEXT, choices=DTYPES)
_SHARE = Key(KeyKind.NUMBER, least=0, most=1)
_RATE = Key(KeyKind.NUMBER, least=0)
_POSITIVE = Key(KeyKind.NUMBER, above=0)
_RATIO = Key(KeyKind.NUMBER, least=0.001, most=1000)

TOP: Mapping[str, Key] = {
    "output_dir": _TEXT,
    "dataset": _TEXT,
    "epochs": Key(KeyKind.NUMBER, least=0, most=MAX, infinite=True),
    "max_steps": _EVERY_OR_NEVER,
    "micro_batch_size_per_gpu": _OTHER,
    "image_micro_batch_size_per_gpu": _OTHER,
    "eval_micro_batch_size_per_gpu": _OTHER,
    "eval_image_micro_batch_size_per_gpu": _OTHER,
    "gradient_accumulation_steps": Key(KeyKind.WHOLE, least=1, most=MAX, divides=True),
    "gradient_clipping": Key(KeyKind.NUMBER, least=0, infinite=True),
    "pipeline_stages": _COUNT,
    "partition_method": _TEXT,
    "partition_split": _LIST,
    "warmup_steps": Key(KeyKind.NUMBER, most=MAX),
    "lr_scheduler": Key(KeyKind.TEXT, choices=("constant", "linear", "cosine")),
    "force_constant_lr": _RATE,
    "blocks_to_swap": _COUNT_OR_NONE,
    "disable_block_swap_for_eval": _SWITCH,
    "activation_checkpointing": _OTHER,
    "reentrant_activation_checkpointing": _SWITCH,
    "compile": _SWITCH,
    "save_every_n_epochs": _EVERY,
    "save_every_n_steps": _EVERY,
    "save_every_n_examples": _EVERY_OR_NEVER,
    "checkpoint_every_n_epochs": _EVERY,
    "checkpoint_every_n_minutes": _RATE,
    "eval_datasets": _OTHER,
    "eval_every_n_steps": _EVERY_OR_NEVER,
    "eval_every_n_epochs": _EVERY_OR_NEVER,
    "eval_every_n_examples": _EVERY_OR_NEVER,
    "eval_before_first_step": _SWITCH,
    "eval_gradient_accumulation_steps": Key(KeyKind.WHOLE, least=1, most=MAX, divides=True),
    "save_dtype": _DTYPE,
    "caching_batch_size": _COUNT,
    "map_num_proc": Key(KeyKind.WHOLE, least=0, most=1024),
    "steps_per_print": _COUNT,
    "logging_steps": _EVERY,
    "x_axis_examples": _SWITCH,
    "video_clip_mode": _OTHER,
    "uncond_fraction": _SHARE,
    "huber_delta": _POSITIVE,
    "smooth_l1_beta": _RATE,
    "resume_from_checkpoint": _OTHER,
    "lora": _OTHER,
    "model": _TABLE,
    "adapter": _TABLE,
    "optimizer": _TABLE,
    "monitoring": _TABLE,
}

ADAPTER: Mapping[str, Key] = {
    "type": Key(KeyKind.TEXT, choices=("lora", "lokr")),
    "rank": Key(KeyKind.NUMBER, above=0, most=MAX),
    "dtype": _DTYPE,
    "dropout": _SHARE,
    "exclude_modules": _OTHER,
    "init_from_existing": _TEXT,
    "fuse_adapters": _LIST,
    "decompose_factor": Key(KeyKind.WHOLE, least=-1, most=MAX),
    "rank_dropout": _SHARE,
}

MONITORING: Mapping[str, Key] = {
    "enable_wandb": _SWITCH,
    "wandb_api_key": _TEXT,
    "wandb_tracker_name": _TEXT,
    "wandb_run_name": _TEXT,
}

#: All keys of [model]; `model_types` lists which types have them.
MODEL: Mapping[str, Key] = {
    "type": _TEXT,
    "dtype": _DTYPE,
    "transformer_dtype": _DTYPE,
    "diffusion_model_dtype": _DTYPE,
    "guidance": Key(KeyKind.NUMBER, least=0, texts=True),
    "timestep_sample_method": Key(KeyKind.TEXT, choices=("logit_normal", "uniform")),
    "sigmoid_scale": Key(KeyKind.NUMBER),
    "shift": _RATE,
    "image_shift": _RATE,
    "flux_shift": _SWITCH,
    "lumina_shift": _SWITCH,
    "cache_text_embeddings": _SWITCH,
    "v_pred": _SWITCH,
    "min_snr_gamma": _RATE,
    "debiased_estimation_loss": _SWITCH,
    "unet_lr": _RATE,
    "text_encoder_1_lr": _RATE,
    "text_encoder_2_lr": _RATE,
    "bypass_guidance_embedding": _SWITCH,
    "first_frame_conditioning_p": _SHARE,
    "llama3_4bit": _SWITCH,
    "max_llama3_sequence_length": _COUNT,
    "max_sequence_length": _COUNT,
    "min_t": _SHARE,
    "max_t": _SHARE,
    "text_encoder_fp8": _SWITCH,
    "text_encoder_nf4": _SWITCH,
    "multiscale_loss_weight": _RATE,
    "self_attn_lr": _RATE,
    "cross_attn_lr": _RATE,
    "mlp_lr": _RATE,
    "mod_lr": _RATE,
    "llm_adapter_lr": _RATE,
    "cfg": _RATE,
    "merge_adapters": _LIST,
    "text_encoders": _LIST,
}

#: Keys of [model] that every model type reads.
MODEL_COMMON = frozenset(
    {
        "type",
        "dtype",
        "timestep_sample_method",
        "sigmoid_scale",
        "shift",
        "flux_shift",
        "cache_text_embeddings",
    }
)

_BUCKETS: Mapping[str, Key] = {
    "resolutions": _OTHER,
    "size_buckets": _OTHER,
    "enable_ar_bucket": _SWITCH,
    "ar_buckets": _OTHER,
    "min_ar": _RATIO,
    "max_ar": _RATIO,
    "num_ar_buckets": Key(KeyKind.WHOLE, least=1, most=1000),
    "frame_buckets": _OTHER,
    "num_repeats": Key(KeyKind.NUMBER, above=0, most=MAX, truth=True),
    "caption_prefix": _TEXT,
    "shuffle_tags": _SWITCH,
    "cache_shuffle_num": Key(KeyKind.WHOLE, least=0, most=10_000),
    "cache_shuffle_delimiter": _TEXT,
    "skip_empty_caption": _SWITCH,
    "shuffle_metadata": _SWITCH,
    "online_captions": _SWITCH,
}

DATASET: Mapping[str, Key] = {
    **_BUCKETS,
    "subsample_ratio": Key(KeyKind.NUMBER, least=0, most=MAX),
    "directory": _LIST,
}

DIRECTORY: Mapping[str, Key] = {
    **_BUCKETS,
    "path": _TEXT,
    "mask_path": _TEXT,
    "control_path": _TEXT,
    "default_mask_file": _TEXT,
}

#: Keys that look right but have no effect, with remedies.
IGNORED: Mapping[str, Reason] = {
    "regenerate_cache": Reason.of(
        "Set `regenerate_cache` in the request, outside of the configuration.", "advice_regenerate_cache"
    ),
    "trust_cache": Reason.of("Set `trust_cache` in the request, outside of the configuration.", "advice_trust_cache"),
    "reset_dataloader": Reason.of("Set it when you resume the task.", "advice_at_resume"),
    "reset_optimizer": Reason.of("Set it when you resume the task.", "advice_at_resume"),
    "pseudo_huber_c": Reason.of("Use `huber_delta` (or `smooth_l1_beta`).", "advice_huber_delta"),
    "image_eval_micro_batch_size_per_gpu": Reason.of("Use `eval_image_micro_batch_size_per_gpu`.", "advice_eval_image"),
    "master_port": Reason.of("Remove it: the service chooses a free port for each run.", "advice_master_port"),
}

#: Optimizers built into the trainer, in lower case, with their arguments.
_ADAM = frozenset({"lr", "betas", "eps", "weight_decay"})
_TORCH = frozenset({"maximize", "foreach", "differentiable", "fused"})
_BITSANDBYTES = _ADAM | {
    "amsgrad",
    "optim_bits",
    "args",
    "min_8bit_size",
    "percentile_clipping",
    "block_wise",
    "is_paged",
}
_OPTIMI = _ADAM | {"max_lr", "decouple_lr", "kahan_sum", "foreach", "triton"}
OPTIMIZERS: Mapping[str, frozenset[str]] = {
    "adamw": _ADAM | _TORCH | {"amsgrad", "capturable"},
    "adamw8bit": _BITSANDBYTES,
    "adamw_optimi": _OPTIMI,
    "stableadamw": _OPTIMI,
    "sgd": _TORCH | {"lr", "momentum", "dampening", "weight_decay", "nesterov"},
    "adamw8bitkahan": _BITSANDBYTES | {"stabilize"},
    "offload": _ADAM | _TORCH | {"amsgrad", "capturable", "offload_gradients", "minimal_size"},
    "automagic": frozenset(
        {
            "lr",
            "min_lr",
            "max_lr",
            "lr_bump",
            "eps",
            "clip_threshold",
            "beta2",
            "weight_decay",
            "do_paramiter_swapping",
            "paramiter_swapping_factor",
        }
    ),
    "genericoptim": _ADAM
    | {
        "correct_bias",
        "momentum_type",
        "second_moment_type",
        "correct_dim",
        "cpu_offload",
        "kahan_buffer_offload",
        "muon",
        "adamuon",
        "normuon",
        "polar_express",
        "compile",
        "automagic",
        "min_lr",
        "max_lr",
        "lr_bump",
        "lr_decrease_factor",
        "skip_invalid_grads",
        "rank",
        "proj_type",
        "update_proj_gap",
    },
}
