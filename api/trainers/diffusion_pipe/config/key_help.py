"""Help texts of the trainer's keys, with the default of each.

Taken from the same sources as `keys`, and from the trainer's examples. A default of None means that there is none,
or that the text states it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class KeyGroup(StrEnum):
    """Groups of related keys."""

    RUN = "run"
    RATE = "rate"
    BATCHES = "batches"
    MEMORY = "memory"
    SAVING = "saving"
    EVALUATION = "evaluation"
    PARALLEL = "parallel"
    LOSS = "loss"
    DATA = "data"
    CAPTIONS = "captions"
    PATHS = "paths"
    REPORTS = "reports"


@dataclass(frozen=True, slots=True)
class KeyHelp:
    """The help of one key."""

    group: KeyGroup
    help: str
    default: Any = None
    is_common: bool = False  #: set in most trainings
    options: tuple[Any, ...] = ()  #: usual values, where `choices` does not list them


_G = KeyGroup
_BATCH = "one number, or a list of [resolution in pixels, batch size]"

TOP_HELP: Mapping[str, KeyHelp] = {
    "output_dir": KeyHelp(_G.RUN, "The output directory; the service sets one for each task."),
    "dataset": KeyHelp(_G.RUN, "The path of the dataset file, which the service writes."),
    "epochs": KeyHelp(_G.RUN, "Number of passes over the dataset.", is_common=True),
    "max_steps": KeyHelp(_G.RUN, "Ends the training after this many steps, even within an epoch."),
    "micro_batch_size_per_gpu": KeyHelp(
        _G.BATCHES, f"Examples that a GPU processes at a time: {_BATCH}.", 1, is_common=True
    ),
    "image_micro_batch_size_per_gpu": KeyHelp(_G.BATCHES, f"The same for image buckets: {_BATCH}."),
    "eval_micro_batch_size_per_gpu": KeyHelp(_G.BATCHES, f"The batch size of evaluations: {_BATCH}."),
    "eval_image_micro_batch_size_per_gpu": KeyHelp(_G.BATCHES, f"The same for images: {_BATCH}."),
    "gradient_accumulation_steps": KeyHelp(
        _G.BATCHES, "Batches whose gradients are accumulated for one step.", 1, is_common=True
    ),
    "gradient_clipping": KeyHelp(_G.RATE, "Maximum norm of the gradients.", 1.0),
    "pipeline_stages": KeyHelp(_G.PARALLEL, "Number of GPUs over which one copy of the model is split.", 1),
    "partition_method": KeyHelp(
        _G.PARALLEL, "How layers are distributed: by parameters, or manually.", "parameters", options=("manual",)
    ),
    "partition_split": KeyHelp(_G.PARALLEL, "With partition_method 'manual': the layers at which stages begin."),
    "warmup_steps": KeyHelp(_G.RATE, "Steps in which the learning rate rises to its full value.", 0, is_common=True),
    "lr_scheduler": KeyHelp(_G.RATE, "Course of the learning rate after the warm-up.", "constant"),
    "force_constant_lr": KeyHelp(_G.RATE, "A learning rate that also applies to a resumed training."),
    "blocks_to_swap": KeyHelp(
        _G.MEMORY, "Model blocks held in main memory: slower, but less GPU memory.", is_common=True
    ),
    "disable_block_swap_for_eval": KeyHelp(_G.MEMORY, "Keeps all blocks on the GPU in evaluations.", False),
    "activation_checkpointing": KeyHelp(
        _G.MEMORY,
        "Recomputes activations instead of storing them; 'unsloth' stores the rest in main memory.",
        False,
        is_common=True,
        options=(False, True, "unsloth"),
    ),
    "reentrant_activation_checkpointing": KeyHelp(_G.MEMORY, "Uses PyTorch's older implementation of it.", False),
    "compile": KeyHelp(_G.MEMORY, "Compiles the model: slower start, faster steps.", False),
    "save_every_n_epochs": KeyHelp(_G.SAVING, "Saves the model every n epochs.", is_common=True),
    "save_every_n_steps": KeyHelp(_G.SAVING, "Saves the model every n steps."),
    "save_every_n_examples": KeyHelp(_G.SAVING, "Saves the model every n examples."),
    "checkpoint_every_n_epochs": KeyHelp(_G.SAVING, "Saves a checkpoint to resume from every n epochs."),
    "checkpoint_every_n_minutes": KeyHelp(
        _G.SAVING, "Saves a checkpoint to resume from every n minutes.", is_common=True
    ),
    "eval_datasets": KeyHelp(
        _G.EVALUATION, "Datasets for evaluation: a list of {name, config}; config is the path of a file."
    ),
    "eval_every_n_steps": KeyHelp(_G.EVALUATION, "Evaluates every n steps; 0 disables it."),
    "eval_every_n_epochs": KeyHelp(_G.EVALUATION, "Evaluates every n epochs; 0 disables it."),
    "eval_every_n_examples": KeyHelp(_G.EVALUATION, "Evaluates every n examples; 0 disables it."),
    "eval_before_first_step": KeyHelp(_G.EVALUATION, "Evaluates once before the first step.", True),
    "eval_gradient_accumulation_steps": KeyHelp(_G.EVALUATION, "Batches per step of an evaluation.", 1),
    "save_dtype": KeyHelp(_G.SAVING, "Data type of saved weights; by default that of the model."),
    "caching_batch_size": KeyHelp(_G.DATA, "Number of items encoded at a time when caching.", 1),
    "map_num_proc": KeyHelp(_G.DATA, "Number of processes that read the dataset; the trainer chooses by default."),
    "steps_per_print": KeyHelp(_G.REPORTS, "Prints every n-th step; progress needs every step.", 1),
    "logging_steps": KeyHelp(_G.REPORTS, "Logs metrics every n-th step.", 1),
    "x_axis_examples": KeyHelp(_G.REPORTS, "Logs metrics by examples instead of steps.", False),
    "video_clip_mode": KeyHelp(
        _G.DATA,
        "Which part is used of a clip that is longer than its bucket.",
        "single_beginning",
        options=("single_beginning", "single_middle"),
    ),
    "uncond_fraction": KeyHelp(_G.LOSS, "Share of examples trained without their caption.", 0.0),
    "huber_delta": KeyHelp(_G.LOSS, "Uses the Huber loss with this delta instead of the squared error."),
    "smooth_l1_beta": KeyHelp(_G.LOSS, "Uses the smooth L1 loss with this beta."),
    "resume_from_checkpoint": KeyHelp(_G.RUN, "Removed by the service: resume a task instead."),
}

ADAPTER_HELP: Mapping[str, KeyHelp] = {
    "type": KeyHelp(_G.RUN, "Type of the adapter that is trained instead of the full model.", is_common=True),
    "rank": KeyHelp(_G.RUN, "Its size: a higher rank can learn more, but makes larger files.", is_common=True),
    "dtype": KeyHelp(_G.MEMORY, "Data type of its weights during training.", is_common=True),
    "dropout": KeyHelp(_G.LOSS, "Share of a LoRA's inputs that are dropped at random.", 0.0),
    "exclude_modules": KeyHelp(_G.RUN, "Modules without an adapter: a regular expression, or a list of names."),
    "init_from_existing": KeyHelp(_G.PATHS, "The directory of an existing adapter to continue from."),
    "fuse_adapters": KeyHelp(_G.PATHS, "Adapters that are merged into the model first: a list of {path, weight}."),
    "decompose_factor": KeyHelp(_G.RUN, "LoKr only: how its matrices are decomposed; -1 is as evenly as possible."),
    "rank_dropout": KeyHelp(_G.LOSS, "LoKr only: share of its rank that is dropped at random."),
}

MONITORING_HELP: Mapping[str, KeyHelp] = {
    "enable_wandb": KeyHelp(_G.REPORTS, "Also sends metrics to Weights & Biases.", False),
    "wandb_api_key": KeyHelp(_G.REPORTS, "Its API key; the service does not write it to the trainer's files."),
    "wandb_tracker_name": KeyHelp(_G.REPORTS, "Project at Weights & Biases."),
    "wandb_run_name": KeyHelp(_G.REPORTS, "Name of the run at Weights & Biases."),
}

_ENCODER_RATE = "The learning rate of the {} text encoder; 0 freezes it."
_PART_RATE = "The learning rate of the {}, instead of the optimizer's."

MODEL_HELP: Mapping[str, KeyHelp] = {
    "type": KeyHelp(_G.RUN, "The model type."),
    "dtype": KeyHelp(_G.MEMORY, "Data type of computations.", is_common=True),
    "transformer_dtype": KeyHelp(
        _G.MEMORY, "A smaller data type for the model's weights: float8 halves their memory.", is_common=True
    ),
    "diffusion_model_dtype": KeyHelp(
        _G.MEMORY, "A smaller data type for the model's weights: float8 halves their memory.", is_common=True
    ),
    "guidance": KeyHelp(_G.LOSS, "Guidance value for distilled models.", 1.0),
    "timestep_sample_method": KeyHelp(_G.LOSS, "How the noise level of an example is sampled.", "logit_normal"),
    "sigmoid_scale": KeyHelp(_G.LOSS, "Width of the logit_normal distribution.", 1.0),
    "shift": KeyHelp(_G.LOSS, "Shifts the noise levels: above 1 means more noise."),
    "image_shift": KeyHelp(_G.LOSS, "The shift for images."),
    "flux_shift": KeyHelp(_G.LOSS, "Resolution-dependent shift of Flux.", False),
    "lumina_shift": KeyHelp(_G.LOSS, "Resolution-dependent shift of Lumina.", False),
    "cache_text_embeddings": KeyHelp(_G.DATA, "Encodes captions once, before the training.", True),
    "v_pred": KeyHelp(_G.LOSS, "The model predicts velocities.", False),
    "min_snr_gamma": KeyHelp(_G.LOSS, "Weights the loss by signal-to-noise ratio, limited to this value."),
    "debiased_estimation_loss": KeyHelp(
        _G.LOSS, "Weights the loss by noise level; the trainer treats any value as true."
    ),
    "unet_lr": KeyHelp(_G.RATE, _PART_RATE.format("UNet")),
    "text_encoder_1_lr": KeyHelp(_G.RATE, _ENCODER_RATE.format("first")),
    "text_encoder_2_lr": KeyHelp(_G.RATE, _ENCODER_RATE.format("second")),
    "bypass_guidance_embedding": KeyHelp(_G.LOSS, "Trains a guidance-distilled model without its guidance.", False),
    "first_frame_conditioning_p": KeyHelp(_G.LOSS, "Share of clips with a given first frame.", 1.0),
    "llama3_4bit": KeyHelp(_G.MEMORY, "Loads the Llama text encoder in 4 bits.", False),
    "max_llama3_sequence_length": KeyHelp(_G.CAPTIONS, "Maximum number of caption tokens for Llama.", 128),
    "max_sequence_length": KeyHelp(_G.CAPTIONS, "Maximum number of caption tokens: 768 for Pony V7, 256 for AuraFlow."),
    "min_t": KeyHelp(_G.LOSS, "Lowest trained noise level, from 0 to 1.", 0.0),
    "max_t": KeyHelp(_G.LOSS, "Highest trained noise level, from 0 to 1.", 1.0),
    "text_encoder_fp8": KeyHelp(_G.MEMORY, "Loads the text encoder in 8 bits.", False),
    "text_encoder_nf4": KeyHelp(_G.MEMORY, "Loads the text encoder in 4 bits.", False),
    "multiscale_loss_weight": KeyHelp(_G.LOSS, "Adds the loss at half the resolution with this weight."),
    "self_attn_lr": KeyHelp(_G.RATE, _PART_RATE.format("self-attention")),
    "cross_attn_lr": KeyHelp(_G.RATE, _PART_RATE.format("cross-attention")),
    "mlp_lr": KeyHelp(_G.RATE, _PART_RATE.format("MLP layers")),
    "mod_lr": KeyHelp(_G.RATE, _PART_RATE.format("modulation")),
    "llm_adapter_lr": KeyHelp(_G.RATE, _PART_RATE.format("adapter of the language model")),
    "cfg": KeyHelp(_G.LOSS, "Guidance to train for; above 1 it needs pipeline_stages = 1.", 1.0),
    "merge_adapters": KeyHelp(_G.PATHS, "Adapters that are merged into the model first: a list of paths."),
    "text_encoders": KeyHelp(_G.PATHS, "The text encoders: a list of {path, type}, or {paths, type}."),
}

#: Descriptions of the paths of [model], by kind.
PATH_HELP: Mapping[str, str] = {
    "file": "A weights file.",
    "comfy": "A weights file in the format of ComfyUI.",
    "safetensors": "A .safetensors file.",
    "weights": "A .safetensors file, or a directory with such files.",
    "directory": "A directory.",
    "either": "A file or a directory.",
    "pretrained": "A directory in the format of diffusers or transformers.",
}

_BUCKETS: Mapping[str, KeyHelp] = {
    "resolutions": KeyHelp(
        _G.DATA, "Resolutions as the side of a square: each item is trained at each of them.", is_common=True
    ),
    "size_buckets": KeyHelp(_G.DATA, "Sizes instead of resolutions: a list of [width, height, frames]."),
    "enable_ar_bucket": KeyHelp(
        _G.DATA, "Groups media by aspect ratio; otherwise all are cropped to a square.", False, is_common=True
    ),
    "ar_buckets": KeyHelp(_G.DATA, "The aspect ratios: numbers, or pairs of [width, height]."),
    "min_ar": KeyHelp(_G.DATA, "Lowest aspect ratio, width / height.", is_common=True),
    "max_ar": KeyHelp(_G.DATA, "Highest aspect ratio, width / height.", is_common=True),
    "num_ar_buckets": KeyHelp(_G.DATA, "Number of aspect ratios in this range.", is_common=True),
    "frame_buckets": KeyHelp(_G.DATA, "Clip lengths in frames; 1 is for images.", [1], is_common=True),
    "num_repeats": KeyHelp(_G.DATA, "Number of times that an epoch contains each item.", 1, is_common=True),
    "caption_prefix": KeyHelp(_G.CAPTIONS, "Text added before each caption."),
    "shuffle_tags": KeyHelp(_G.CAPTIONS, "Shuffles the comma-separated parts of a caption.", False),
    "cache_shuffle_num": KeyHelp(_G.CAPTIONS, "Number of shuffled versions of each caption.", 0),
    "cache_shuffle_delimiter": KeyHelp(_G.CAPTIONS, "Separator of the shuffled parts.", ", "),
    "skip_empty_caption": KeyHelp(_G.CAPTIONS, "Skips items without a caption.", True),
    "shuffle_metadata": KeyHelp(_G.DATA, "Shuffles the items before sorting them into buckets.", False),
    "online_captions": KeyHelp(_G.CAPTIONS, "Encodes captions during training instead of before.", False),
}

DATASET_HELP: Mapping[str, KeyHelp] = {
    **_BUCKETS,
    "subsample_ratio": KeyHelp(_G.DATA, "Share of the dataset per epoch."),
    "directory": KeyHelp(_G.DATA, "The directories, each with its own keys."),
}

DIRECTORY_HELP: Mapping[str, KeyHelp] = {
    **_BUCKETS,
    "path": KeyHelp(_G.PATHS, "A directory on the server with media and captions.", is_common=True),
    "mask_path": KeyHelp(_G.PATHS, "A directory with masks: white areas are trained, black ones are not."),
    "control_path": KeyHelp(_G.PATHS, "A directory with control images with the same names."),
    "default_mask_file": KeyHelp(_G.PATHS, "The mask of items without one."),
}

OPTIMIZER_HELP: Mapping[str, KeyHelp] = {
    "type": KeyHelp(
        _G.RATE, "The optimizer: one built into the trainer, or a class of pytorch_optimizer.", is_common=True
    ),
    "gradient_release": KeyHelp(
        _G.MEMORY, "Frees each gradient immediately; only for sdxl, cosmos_predict2, anima.", False
    ),
    "beta2_half_life": KeyHelp(_G.RATE, "The second beta, as a half-life in examples."),
    "lr": KeyHelp(_G.RATE, "The learning rate.", is_common=True),
    "betas": KeyHelp(_G.RATE, "Decay rates of the two running averages.", is_common=True),
    "eps": KeyHelp(_G.RATE, "Small number that prevents division by zero."),
    "weight_decay": KeyHelp(_G.RATE, "Rate at which weights decay towards 0.", is_common=True),
    "momentum": KeyHelp(_G.RATE, "Momentum factor."),
    "dampening": KeyHelp(_G.RATE, "Dampening of the momentum."),
    "nesterov": KeyHelp(_G.RATE, "Uses Nesterov momentum."),
    "amsgrad": KeyHelp(_G.RATE, "Uses the maximum of the second averages."),
    "capturable": KeyHelp(_G.MEMORY, "Allows capture of steps in a CUDA graph."),
    "maximize": KeyHelp(_G.RATE, "Maximizes the objective instead of minimizing it."),
    "foreach": KeyHelp(_G.MEMORY, "Processes many tensors at a time: faster, but more memory."),
    "differentiable": KeyHelp(_G.RATE, "Allows differentiation through steps."),
    "fused": KeyHelp(_G.MEMORY, "Uses one fused kernel per step."),
    "optim_bits": KeyHelp(_G.MEMORY, "Bits of the averages; implied by the optimizer's name."),
    "args": KeyHelp(_G.RATE, "Further arguments of bitsandbytes."),
    "min_8bit_size": KeyHelp(_G.MEMORY, "Tensors with fewer elements use 32 bits."),
    "percentile_clipping": KeyHelp(_G.RATE, "Clips gradients above this percentile of the last 100."),
    "block_wise": KeyHelp(_G.MEMORY, "Quantises block by block."),
    "is_paged": KeyHelp(_G.MEMORY, "Allows the averages to move to main memory."),
    "stabilize": KeyHelp(_G.RATE, "Limits the size of a step as StableAdamW does."),
    "max_lr": KeyHelp(_G.RATE, "The highest learning rate."),
    "min_lr": KeyHelp(_G.RATE, "The lowest learning rate."),
    "lr_bump": KeyHelp(_G.RATE, "Amount by which the learning rate changes at a time."),
    "lr_decrease_factor": KeyHelp(_G.RATE, "Factor by which the rate falls faster than it rises."),
    "decouple_lr": KeyHelp(_G.RATE, "Makes weight decay independent of the learning rate."),
    "kahan_sum": KeyHelp(_G.RATE, "Uses Kahan summation to compensate rounding in bfloat16."),
    "triton": KeyHelp(_G.MEMORY, "Uses Triton kernels."),
    "offload_gradients": KeyHelp(_G.MEMORY, "Moves gradients to main memory, too."),
    "minimal_size": KeyHelp(_G.MEMORY, "Tensors with fewer elements stay on the GPU."),
    "clip_threshold": KeyHelp(_G.RATE, "Limits the size of a step."),
    "beta2": KeyHelp(_G.RATE, "Decay rate of the second average."),
    "do_paramiter_swapping": KeyHelp(
        _G.RATE, "Trains a changing share of the parameters (spelling as in the optimizer)."
    ),
    "paramiter_swapping_factor": KeyHelp(_G.RATE, "Share of the parameters (spelling as in the optimizer)."),
    "correct_bias": KeyHelp(_G.RATE, "Corrects the bias of the averages in the first steps."),
    "momentum_type": KeyHelp(_G.RATE, "Kind of the first average.", options=("ema", "sm", "none")),
    "second_moment_type": KeyHelp(_G.RATE, "Kind of the second average.", options=("ema", "none", "sn", "factored")),
    "correct_dim": KeyHelp(_G.RATE, "Corrects for the dimension of a subset."),
    "cpu_offload": KeyHelp(_G.MEMORY, "Stores the averages in main memory."),
    "kahan_buffer_offload": KeyHelp(_G.MEMORY, "Stores Kahan compensation in main memory, too."),
    "muon": KeyHelp(_G.RATE, "Orthogonalizes steps; set only one of muon, adamuon and normuon."),
    "adamuon": KeyHelp(_G.RATE, "Muon with a second average."),
    "normuon": KeyHelp(_G.RATE, "Muon with normalized rows."),
    "polar_express": KeyHelp(_G.RATE, "Alternative method of orthogonalization."),
    "compile": KeyHelp(_G.MEMORY, "Compiles the step."),
    "automagic": KeyHelp(_G.RATE, "Finds a learning rate for each parameter."),
    "skip_invalid_grads": KeyHelp(_G.RATE, "Skips steps with NaN or infinite gradients."),
    "rank": KeyHelp(_G.MEMORY, "Projects gradients to this rank."),
    "proj_type": KeyHelp(_G.MEMORY, "Side of the projection."),
    "update_proj_gap": KeyHelp(_G.MEMORY, "Steps between updates of the projection."),
}
