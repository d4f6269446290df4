"""What each key of the trainer is for, in words, with the value that it has when it is left out.

Read from the same files as `keys`, and from the trainer's own examples. A default of None: there is none, or it is told
in the words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class KeyGroup(StrEnum):
    """Keys that belong together."""

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
class KeyWords:
    """What a key is for."""

    group: KeyGroup
    help: str
    default: Any = None
    is_common: bool = False  #: most trainings set it
    options: tuple[Any, ...] = ()  #: what is usually written, where that is no text of `choices`


_G = KeyGroup
_BATCH = "one number, or a list of [pixels of a side, batch size]"

TOP_WORDS: Mapping[str, KeyWords] = {
    "output_dir": KeyWords(_G.RUN, "Where the trainer writes; the service gives each task a directory of its own."),
    "dataset": KeyWords(_G.RUN, "The path of the dataset's file, which the service writes."),
    "epochs": KeyWords(_G.RUN, "How often everything in the dataset is seen.", is_common=True),
    "max_steps": KeyWords(_G.RUN, "Ends the training after so many steps, however many epochs that are."),
    "micro_batch_size_per_gpu": KeyWords(
        _G.BATCHES, f"Examples that a GPU works on at once: {_BATCH}.", 1, is_common=True
    ),
    "image_micro_batch_size_per_gpu": KeyWords(_G.BATCHES, f"The same for buckets of images: {_BATCH}."),
    "eval_micro_batch_size_per_gpu": KeyWords(_G.BATCHES, f"The batch size of evaluations: {_BATCH}."),
    "eval_image_micro_batch_size_per_gpu": KeyWords(_G.BATCHES, f"The same for images: {_BATCH}."),
    "gradient_accumulation_steps": KeyWords(
        _G.BATCHES, "Batches whose gradients are added up for one step.", 1, is_common=True
    ),
    "gradient_clipping": KeyWords(_G.RATE, "The largest norm of a gradient.", 1.0),
    "pipeline_stages": KeyWords(_G.PARALLEL, "Over how many GPUs one copy of the model is spread.", 1),
    "partition_method": KeyWords(
        _G.PARALLEL, "How layers are spread: by their parameters, or by hand.", "parameters", options=("manual",)
    ),
    "partition_split": KeyWords(_G.PARALLEL, "With partition_method 'manual': the layers at which a stage begins."),
    "warmup_steps": KeyWords(_G.RATE, "Steps in which the learning rate rises to its value.", 0, is_common=True),
    "lr_scheduler": KeyWords(_G.RATE, "How the learning rate goes on after the warm-up.", "constant"),
    "force_constant_lr": KeyWords(_G.RATE, "A learning rate that also holds for a training that is resumed."),
    "blocks_to_swap": KeyWords(
        _G.MEMORY, "Blocks of the model that wait in the machine's memory: slower, and less GPU memory.", is_common=True
    ),
    "disable_block_swap_for_eval": KeyWords(_G.MEMORY, "Evaluations keep all blocks on the GPU.", False),
    "activation_checkpointing": KeyWords(
        _G.MEMORY,
        "Computes activations again instead of keeping them; 'unsloth' keeps the rest in the machine's memory.",
        False,
        is_common=True,
        options=(False, True, "unsloth"),
    ),
    "reentrant_activation_checkpointing": KeyWords(_G.MEMORY, "PyTorch's older way to do that.", False),
    "compile": KeyWords(_G.MEMORY, "Compiles the model: faster steps after a slow beginning.", False),
    "save_every_n_epochs": KeyWords(_G.SAVING, "Saves the model after so many epochs.", is_common=True),
    "save_every_n_steps": KeyWords(_G.SAVING, "Saves the model after so many steps."),
    "save_every_n_examples": KeyWords(_G.SAVING, "Saves the model after so many examples."),
    "checkpoint_every_n_epochs": KeyWords(_G.SAVING, "Keeps what is needed to go on after so many epochs."),
    "checkpoint_every_n_minutes": KeyWords(
        _G.SAVING, "Keeps what is needed to go on after so many minutes.", is_common=True
    ),
    "eval_datasets": KeyWords(
        _G.EVALUATION, "Datasets to evaluate with: a list of {name, config}, a file's path each."
    ),
    "eval_every_n_steps": KeyWords(_G.EVALUATION, "Evaluates after so many steps; 0 is never."),
    "eval_every_n_epochs": KeyWords(_G.EVALUATION, "Evaluates after so many epochs; 0 is never."),
    "eval_every_n_examples": KeyWords(_G.EVALUATION, "Evaluates after so many examples; 0 is never."),
    "eval_before_first_step": KeyWords(_G.EVALUATION, "Evaluates once before anything is learnt.", True),
    "eval_gradient_accumulation_steps": KeyWords(_G.EVALUATION, "Batches of one step of an evaluation.", 1),
    "save_dtype": KeyWords(_G.SAVING, "The type of what is saved; without it that of the weights."),
    "caching_batch_size": KeyWords(_G.DATA, "How many items are encoded at once before the training.", 1),
    "map_num_proc": KeyWords(_G.DATA, "Processes that read the dataset; the trainer's own number when left out."),
    "steps_per_print": KeyWords(_G.REPORTS, "Prints each n-th step; progress needs each.", 1),
    "logging_steps": KeyWords(_G.REPORTS, "Writes curves for each n-th step.", 1),
    "x_axis_examples": KeyWords(_G.REPORTS, "Curves are over examples instead of steps.", False),
    "video_clip_mode": KeyWords(
        _G.DATA,
        "Which part of a clip that is longer than its bucket is taken.",
        "single_beginning",
        options=("single_beginning", "single_middle"),
    ),
    "uncond_fraction": KeyWords(_G.LOSS, "The share of examples that are seen without their caption.", 0.0),
    "huber_delta": KeyWords(_G.LOSS, "Takes the Huber loss, with this delta, in place of the squared one."),
    "smooth_l1_beta": KeyWords(_G.LOSS, "Takes the smooth L1 loss, with this beta."),
    "resume_from_checkpoint": KeyWords(_G.RUN, "Left out by the service: resume a task instead."),
}

ADAPTER_WORDS: Mapping[str, KeyWords] = {
    "type": KeyWords(_G.RUN, "What is trained instead of the whole model.", is_common=True),
    "rank": KeyWords(_G.RUN, "Its size: a higher rank learns more, and is a larger file.", is_common=True),
    "dtype": KeyWords(_G.MEMORY, "The type of its weights while it is trained.", is_common=True),
    "dropout": KeyWords(_G.LOSS, "The share of a LoRA's inputs that are left out at random.", 0.0),
    "exclude_modules": KeyWords(_G.RUN, "Modules that get no adapter: a regular expression, or a list of names."),
    "init_from_existing": KeyWords(_G.PATHS, "The directory of an adapter that is trained on."),
    "fuse_adapters": KeyWords(_G.PATHS, "Adapters that become part of the model first: a list of {path, weight}."),
    "decompose_factor": KeyWords(_G.RUN, "Of a LoKr: how its matrices are divided; -1 is as evenly as can be."),
    "rank_dropout": KeyWords(_G.LOSS, "Of a LoKr: the share of its rank that is left out at random."),
}

MONITORING_WORDS: Mapping[str, KeyWords] = {
    "enable_wandb": KeyWords(_G.REPORTS, "Sends curves to Weights & Biases as well.", False),
    "wandb_api_key": KeyWords(_G.REPORTS, "The key there; the service keeps it out of the trainer's files."),
    "wandb_tracker_name": KeyWords(_G.REPORTS, "The project there."),
    "wandb_run_name": KeyWords(_G.REPORTS, "The name of the run there."),
}

_ENCODER_RATE = "The learning rate of the {} text encoder; 0 leaves it as it is."
_PART_RATE = "The learning rate of the {}, in place of the optimizer's."

MODEL_WORDS: Mapping[str, KeyWords] = {
    "type": KeyWords(_G.RUN, "The model type."),
    "dtype": KeyWords(_G.MEMORY, "The type that is computed with.", is_common=True),
    "transformer_dtype": KeyWords(
        _G.MEMORY, "A smaller type for the model's weights: float8 halves their memory.", is_common=True
    ),
    "diffusion_model_dtype": KeyWords(
        _G.MEMORY, "A smaller type for the model's weights: float8 halves their memory.", is_common=True
    ),
    "guidance": KeyWords(_G.LOSS, "The guidance that a distilled model is told.", 1.0),
    "timestep_sample_method": KeyWords(_G.LOSS, "How the noise level of an example is drawn.", "logit_normal"),
    "sigmoid_scale": KeyWords(_G.LOSS, "How widely logit_normal spreads.", 1.0),
    "shift": KeyWords(_G.LOSS, "Moves the noise levels: above 1 there is more noise."),
    "image_shift": KeyWords(_G.LOSS, "The shift of images."),
    "flux_shift": KeyWords(_G.LOSS, "Shifts by resolution, as Flux does.", False),
    "lumina_shift": KeyWords(_G.LOSS, "Shifts by resolution, as Lumina does.", False),
    "cache_text_embeddings": KeyWords(_G.DATA, "Encodes captions once, before the training.", True),
    "v_pred": KeyWords(_G.LOSS, "The model predicts velocities.", False),
    "min_snr_gamma": KeyWords(_G.LOSS, "Weighs noise levels by their signal, up to this."),
    "debiased_estimation_loss": KeyWords(_G.LOSS, "Weighs noise levels; to this trainer any value means on."),
    "unet_lr": KeyWords(_G.RATE, _PART_RATE.format("UNet")),
    "text_encoder_1_lr": KeyWords(_G.RATE, _ENCODER_RATE.format("first")),
    "text_encoder_2_lr": KeyWords(_G.RATE, _ENCODER_RATE.format("second")),
    "bypass_guidance_embedding": KeyWords(_G.LOSS, "Trains a model that was distilled without its guidance.", False),
    "first_frame_conditioning_p": KeyWords(_G.LOSS, "The share of clips whose first frame is given.", 1.0),
    "llama3_4bit": KeyWords(_G.MEMORY, "Loads the Llama text encoder in 4 bits.", False),
    "max_llama3_sequence_length": KeyWords(_G.CAPTIONS, "The most tokens of a caption for Llama.", 128),
    "max_sequence_length": KeyWords(_G.CAPTIONS, "The most tokens of a caption: 768 for Pony V7, 256 for AuraFlow."),
    "min_t": KeyWords(_G.LOSS, "The least noise level that is trained, of 0 to 1.", 0.0),
    "max_t": KeyWords(_G.LOSS, "The highest noise level that is trained, of 0 to 1.", 1.0),
    "text_encoder_fp8": KeyWords(_G.MEMORY, "Loads the text encoder in 8 bits.", False),
    "text_encoder_nf4": KeyWords(_G.MEMORY, "Loads the text encoder in 4 bits.", False),
    "multiscale_loss_weight": KeyWords(_G.LOSS, "Adds the loss at half the resolution with this weight."),
    "self_attn_lr": KeyWords(_G.RATE, _PART_RATE.format("self-attention")),
    "cross_attn_lr": KeyWords(_G.RATE, _PART_RATE.format("cross-attention")),
    "mlp_lr": KeyWords(_G.RATE, _PART_RATE.format("MLP layers")),
    "mod_lr": KeyWords(_G.RATE, _PART_RATE.format("modulation")),
    "llm_adapter_lr": KeyWords(_G.RATE, _PART_RATE.format("adapter of the language model")),
    "cfg": KeyWords(_G.LOSS, "The guidance that is trained for; above 1 it needs pipeline_stages = 1.", 1.0),
    "merge_adapters": KeyWords(_G.PATHS, "Adapters that become part of the model first: a list of paths."),
    "text_encoders": KeyWords(_G.PATHS, "The text encoders: a list of {path, type}, or {paths, type}."),
}

#: What a path of [model] is, by the kind of path.
PATH_WORDS: Mapping[str, str] = {
    "file": "A file of weights.",
    "comfy": "A file of weights, as ComfyUI has it.",
    "safetensors": "A .safetensors file.",
    "weights": "A .safetensors file, or a directory with such files.",
    "directory": "A directory.",
    "either": "A file or a directory.",
    "pretrained": "A directory in the form of diffusers or transformers.",
}

_BUCKETS: Mapping[str, KeyWords] = {
    "resolutions": KeyWords(
        _G.DATA, "Sides of a square with as many pixels: each item is trained on in each of them.", is_common=True
    ),
    "size_buckets": KeyWords(_G.DATA, "Sizes in place of resolutions: a list of [width, height, frames]."),
    "enable_ar_bucket": KeyWords(
        _G.DATA, "Keeps aspect ratios, near enough; otherwise all is cropped to a square.", False, is_common=True
    ),
    "ar_buckets": KeyWords(_G.DATA, "The aspect ratios: numbers, or [width, height] each."),
    "min_ar": KeyWords(_G.DATA, "The least aspect ratio, width by height.", is_common=True),
    "max_ar": KeyWords(_G.DATA, "The largest aspect ratio, width by height.", is_common=True),
    "num_ar_buckets": KeyWords(_G.DATA, "How many aspect ratios between them.", is_common=True),
    "frame_buckets": KeyWords(_G.DATA, "Lengths of clips in frames; 1 is for images.", [1], is_common=True),
    "num_repeats": KeyWords(_G.DATA, "How often each item comes in an epoch.", 1, is_common=True),
    "caption_prefix": KeyWords(_G.CAPTIONS, "Stands before each caption."),
    "shuffle_tags": KeyWords(_G.CAPTIONS, "Shuffles what commas divide in a caption.", False),
    "cache_shuffle_num": KeyWords(_G.CAPTIONS, "How many shuffled forms of each caption are encoded.", 0),
    "cache_shuffle_delimiter": KeyWords(_G.CAPTIONS, "What divides the parts that are shuffled.", ", "),
    "skip_empty_caption": KeyWords(_G.CAPTIONS, "Leaves out items whose caption is empty.", True),
    "shuffle_metadata": KeyWords(_G.DATA, "Shuffles the items before they are sorted into buckets.", False),
    "online_captions": KeyWords(_G.CAPTIONS, "Reads captions while it trains, not before.", False),
}

DATASET_WORDS: Mapping[str, KeyWords] = {
    **_BUCKETS,
    "subsample_ratio": KeyWords(_G.DATA, "The share of the dataset that an epoch has."),
    "directory": KeyWords(_G.DATA, "The directories, each with keys of its own."),
}

DIRECTORY_WORDS: Mapping[str, KeyWords] = {
    **_BUCKETS,
    "path": KeyWords(_G.PATHS, "A directory on the server with media and captions.", is_common=True),
    "mask_path": KeyWords(_G.PATHS, "A directory with masks: white is trained on, black is not."),
    "control_path": KeyWords(_G.PATHS, "A directory with control images, of the same names."),
    "default_mask_file": KeyWords(_G.PATHS, "The mask of items that have none."),
}

OPTIMIZER_WORDS: Mapping[str, KeyWords] = {
    "type": KeyWords(
        _G.RATE, "The optimizer: one that the trainer knows, or a class of pytorch_optimizer.", is_common=True
    ),
    "gradient_release": KeyWords(
        _G.MEMORY, "Lets go of each gradient at once: for sdxl, cosmos_predict2, anima.", False
    ),
    "beta2_half_life": KeyWords(_G.RATE, "The second beta, told as the examples after which half is forgotten."),
    "lr": KeyWords(_G.RATE, "The learning rate.", is_common=True),
    "betas": KeyWords(_G.RATE, "How slowly averages forget: two numbers.", is_common=True),
    "eps": KeyWords(_G.RATE, "Keeps a division from being one by nothing."),
    "weight_decay": KeyWords(_G.RATE, "How far weights are drawn to 0 each step.", is_common=True),
    "momentum": KeyWords(_G.RATE, "How much of the last step goes on."),
    "dampening": KeyWords(_G.RATE, "How much of the gradient that takes away."),
    "nesterov": KeyWords(_G.RATE, "Looks ahead along the momentum."),
    "amsgrad": KeyWords(_G.RATE, "Keeps the largest second average."),
    "capturable": KeyWords(_G.MEMORY, "Steps can be captured in a CUDA graph."),
    "maximize": KeyWords(_G.RATE, "Climbs instead of descending."),
    "foreach": KeyWords(_G.MEMORY, "Works on many tensors at once: faster, more memory."),
    "differentiable": KeyWords(_G.RATE, "Steps can be differentiated themselves."),
    "fused": KeyWords(_G.MEMORY, "One kernel for a whole step."),
    "optim_bits": KeyWords(_G.MEMORY, "Bits of the averages; the optimizer's name says them already."),
    "args": KeyWords(_G.RATE, "Further arguments of bitsandbytes."),
    "min_8bit_size": KeyWords(_G.MEMORY, "Smaller tensors keep 32 bits."),
    "percentile_clipping": KeyWords(_G.RATE, "Clips gradients above this percentile of the last 100."),
    "block_wise": KeyWords(_G.MEMORY, "Quantises in blocks."),
    "is_paged": KeyWords(_G.MEMORY, "The averages can go to the machine's memory."),
    "stabilize": KeyWords(_G.RATE, "Bounds the size of a step, as StableAdamW does."),
    "max_lr": KeyWords(_G.RATE, "The highest learning rate."),
    "min_lr": KeyWords(_G.RATE, "The lowest learning rate."),
    "lr_bump": KeyWords(_G.RATE, "How far the rate is moved at once."),
    "lr_decrease_factor": KeyWords(_G.RATE, "How much faster the rate falls than it rises."),
    "decouple_lr": KeyWords(_G.RATE, "The decay of weights does not depend on the learning rate."),
    "kahan_sum": KeyWords(_G.RATE, "Keeps what rounding in bfloat16 would lose."),
    "triton": KeyWords(_G.MEMORY, "Kernels written in Triton."),
    "offload_gradients": KeyWords(_G.MEMORY, "Gradients go to the machine's memory, too."),
    "minimal_size": KeyWords(_G.MEMORY, "Smaller tensors stay on the GPU."),
    "clip_threshold": KeyWords(_G.RATE, "Bounds the size of a step."),
    "beta2": KeyWords(_G.RATE, "How slowly the second average forgets."),
    "do_paramiter_swapping": KeyWords(_G.RATE, "Trains a changing share of the parameters (the name is spelt so)."),
    "paramiter_swapping_factor": KeyWords(_G.RATE, "That share (the name is spelt so)."),
    "correct_bias": KeyWords(_G.RATE, "Corrects the averages of the first steps."),
    "momentum_type": KeyWords(_G.RATE, "The first average.", options=("ema", "sm", "none")),
    "second_moment_type": KeyWords(_G.RATE, "The second average.", options=("ema", "none", "sn", "factored")),
    "correct_dim": KeyWords(_G.RATE, "Corrects for the size of a subset."),
    "cpu_offload": KeyWords(_G.MEMORY, "The averages lie in the machine's memory."),
    "kahan_buffer_offload": KeyWords(_G.MEMORY, "What rounding would lose lies there, too."),
    "muon": KeyWords(_G.RATE, "Makes steps orthogonal; one of muon, adamuon and normuon."),
    "adamuon": KeyWords(_G.RATE, "The same with a second average."),
    "normuon": KeyWords(_G.RATE, "The same with rows of one norm."),
    "polar_express": KeyWords(_G.RATE, "Another way to make them orthogonal."),
    "compile": KeyWords(_G.MEMORY, "Compiles the step."),
    "automagic": KeyWords(_G.RATE, "Finds a learning rate for each parameter."),
    "skip_invalid_grads": KeyWords(_G.RATE, "Leaves out steps whose gradient is no number."),
    "rank": KeyWords(_G.MEMORY, "Projects gradients to this rank."),
    "proj_type": KeyWords(_G.MEMORY, "From which side they are projected."),
    "update_proj_gap": KeyWords(_G.MEMORY, "Steps after which the projection is found anew."),
}
