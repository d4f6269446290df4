"""Hints for known errors of trainers."""

import re

from api.domain.reason import Reason
from api.trainers.protocol.error_lines import LINE_LIMIT

#: Pattern of an exception line, code, and hint. The first match applies; its first group replaces `{what}`.
HINTS = tuple(
    (re.compile(pattern), code, hint)
    for pattern, code, hint in (
        # -- the installation
        (
            r"Using RTX 4000 series|NCCL_P2P_DISABLE",
            "boards_need_both",
            "set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1 in `env`: these GPUs need both",
        ),
        (
            (
                r"flash_attn.*(?:undefined symbol|DLL load failed)"
                r"|undefined symbol.*flash_attn|FLASH_ATTN_2_AVAILABLE|flash_attn_varlen_func"
            ),
            "flash_attn",
            "reinstall flash-attn, built for the trainer's version of torch and this GPU",
        ),
        (
            r"undefined symbol",
            "package_anew",
            "reinstall the package named in the error, built for the trainer's version of torch",
        ),
        (
            r"No module named '(?:comfy|hyvideo|ltx_video|cosmos1|flow|lumina_2|models|src)\b",
            "submodules",
            "run `git submodule update --init --recursive` in the trainer's directory",
        ),
        (
            r"CUDA Setup failed|bitsandbytes.*(?:without|no) (?:GPU|CUDA) support|libbitsandbytes",
            "bitsandbytes",
            "install a bitsandbytes that matches the trainer's CUDA, or use an optimizer without 8bit",
        ),
        (
            (
                r"Error building extension|MissingCUDAException|CUDA_HOME"
                r"|Unable to JIT load|fatal error: .*\.h: No such file"
            ),
            "compiler",
            "install a compiler and the CUDA toolkit that matches PyTorch, and set CUDA_HOME for the service",
        ),
        (
            r"no kernel image is available",
            "torch_for_gpu",
            "install a PyTorch that was built for this GPU in the trainer's environment",
        ),
        (
            r"driver (?:version is insufficient|on your system is too old)",
            "driver_or_torch",
            "update the NVIDIA driver, or install a PyTorch for an older CUDA",
        ),
        (
            r"Too many open files|\[Errno 24\]",
            "open_files",
            "raise the limit of open files of the service (LimitNOFILE, ulimit -n)",
        ),
        (
            r"expandable_segments",
            "expandable_segments",
            "remove expandable_segments from PYTORCH_CUDA_ALLOC_CONF in `env`: this PyTorch or system cannot use it",
        ),
        (
            r"api_key not configured|wandb.*(?:log ?in|API key)|UsageError.*key|No API key",
            "wandb_key",
            "set wandb_api_key in [monitoring], or set enable_wandb = false",
        ),
        (
            r"torch\._dynamo|torch\._inductor|BackendCompilerFailed|triton\.compiler",
            "compile_off",
            "set compile = false",
        ),
        # -- files of models
        (
            (
                r"MetadataIncompleteBuffer|HeaderTooLarge|InvalidHeader"
                r"|SafetensorError|deserializing header|PytorchStreamReader failed"
            ),
            "file_damaged",
            "the file is damaged or its download is incomplete: download it again",
        ),
        (
            r"Weights only load failed|UnpicklingError",
            "plain_weights",
            "the file is not a plain weights file: use its .safetensors version",
        ),
        (
            r"Could not autodetect model variant|Unknown model_type",
            "unknown_wan",
            (
                "ckpt_path holds a Wan version that this trainer does not support: use "
                "T2V, I2V or FLF2V of 2.1, or T2V, I2V or TI2V-5B of 2.2"
            ),
        ),
        (
            (
                r"Error\(s\) in loading state_dict|mat1 and mat2 shapes"
                r"|size mismatch for|Missing key\(s\)|Unexpected key\(s\)"
            ),
            "other_model",
            (
                "a file of another model, or another version of it, is set in one "
                "of [model]'s paths: compare them with the trainer's documentation"
            ),
        ),
        (
            (
                r"KeyError: '(?:[\w.]+\.)?(?:blocks|layers|double_blocks|single_blocks"
                r"|transformer_blocks)\.\d[\w.]*'|KeyError: '[\w.]+\.(?:weight|bias)'"
            ),
            "incomplete_weights",
            "the weights are incomplete or of another model: download all their files, or correct the path",
        ),
        (
            r"fp8_scaled weights are not supported",
            "bf16_or_plain_fp8",
            "use the bf16 file, or a plain fp8 file without scales",
        ),
        (
            r"full finetune a quantized",
            "bf16_for_finetune",
            "use the bf16 file, set diffusion_model_dtype, or add [adapter]",
        ),
        (r"Expected .* to be a safetensors file", "safetensors_file", "set a .safetensors file in [model]"),
        (
            r"(?:No|Multiple) safetensors files? found",
            "one_adapter",
            "set init_from_existing to the directory of one saved adapter",
        ),
        (
            r"is not in the model parameters",
            "other_adapter",
            "init_from_existing names an adapter of another model or kind: use one of the same model and kind",
        ),
        (
            r"Target modules .* not found",
            "nothing_excluded",
            "correct exclude_modules: it excludes everything from training",
        ),
        # -- settings
        (
            r"Cannot swap more than (.{1,60}?)(?: blocks)?\. Requested",
            "swap_at_most",
            "lower blocks_to_swap: at most {what} can be swapped",
        ),
        (
            r"Block swapping only works when|Block swapping only works with",
            "no_swap_or_adapter",
            "remove blocks_to_swap, or train an adapter with pipeline_stages = 1",
        ),
        (r"Block swapping is not implemented", "no_swap", "remove blocks_to_swap: this model does not support it"),
        (
            r"Expected all tensors to be on the same device",
            "swap_for_eval",
            "set disable_block_swap_for_eval = true (or remove blocks_to_swap)",
        ),
        (r"KeyError: 'lr'", "lr_or_no_release", "remove gradient_release, or set `lr` in [optimizer]"),
        (
            r"KeyError: '(nf4|bf16|fp16|fp32|fp8|half|int8|bnb|float|float8_e4m3)'",
            "dtype_name",
            (
                "`{what}` is not a data type of the trainer: use bfloat16, "
                "float16, float32, float8, float8_e4m3fn or float8_e5m2"
            ),
        ),
        (
            r"KeyError: '(resolutions|min_ar|max_ar|num_ar_buckets)'",
            "key_at_top",
            "set `{what}` at the top level of the dataset, too, even if each directory sets it",
        ),
        (
            r"unexpected keyword argument '(\w{1,80})'",
            "unknown_argument",
            "remove `{what}` from [optimizer]: this optimizer has no such argument",
        ),
        (
            r"module '?pytorch_optimizer'? has no attribute '(\w{1,80})'",
            "optimizer_name",
            "correct [optimizer].type: pytorch_optimizer has no `{what}` (names are case-sensitive)",
        ),
        (
            r"missing 1 required positional argument: 'lr'|missing \d+ required positional argument",
            "lr_needed",
            "set `lr` and all other required arguments of the optimizer in [optimizer]",
        ),
        (r"Unknown lr_scheduler", "lr_scheduler", "set lr_scheduler to 'constant', 'linear' or 'cosine'"),
        (r"video_clip_mode", "video_clip_mode", "set video_clip_mode to 'single_beginning' or 'single_middle'"),
        (
            r"string indices must be integers",
            "eval_tables",
            "write each entry of eval_datasets as a table: name = '…', config = 'x.toml'",
        ),
        (
            r"data parallel world size must be 1",
            "stages_or_no_release",
            "set pipeline_stages to the number of GPUs, or remove gradient_release",
        ),
        (r"CFG training requires", "no_cfg", "set pipeline_stages = 1, or remove `cfg`"),
        (r"partition_split must be", "partition_split", "give partition_split one entry less than pipeline_stages"),
        (
            r"does not require grad|None of the inputs have requires_grad",
            "nothing_trained",
            "no parameter is trained: check exclude_modules and learning rates of 0",
        ),
        # -- the dataset
        (
            r"Invalid (\w{1,40}): ",
            "dataset_path",
            "correct `{what}` in the dataset: the directory or file does not exist",
        ),
        (r"had no images/videos", "no_images", "set a directory with images or videos in the dataset"),
        (
            r"No control file exists",
            "control_images",
            "add a control image with the same name to control_path for each image",
        ),
        (r"Mask shape", "masks", "give each mask the same size as its image"),
        (r"WebP videos", "webp", "convert the animated WebP files to videos or to single images"),
        (
            r"must contain lists of captions",
            "captions_json",
            'write lists of captions in captions.json: "a.png": ["a caption"]',
        ),
        (r"less frames \(", "shorter_buckets", "set shorter frame_buckets, or remove the clips named in the error"),
        (
            r"image file is truncated|UnidentifiedImageError|cannot identify image",
            "damaged_image",
            "an image is damaged: replace or remove the image named in the error",
        ),
        (r"stack expects each tensor to be equal size", "batch_of_one", "set caching_batch_size = 1"),
        (r"UnicodeDecodeError", "utf8", "save captions and TOML files as UTF-8"),
        (
            r"KeyError: 'epochs'",
            "epochs",
            "set `epochs` in the configuration: the trainer reads it only when the first epoch ends",
        ),
        (
            r"KeyError: '([^']{1,80})'",
            "missing_key",
            "the configuration lacks the key `{what}`: add it to the section that the traceback shows",
        ),
        (
            r"FileExistsError: .*/tmp'",
            "tmp_left_behind",
            "an interrupted save left this `tmp` directory: resume the task, which removes it",
        ),
        (
            r"ZeroDivisionError",
            "every_n_examples",
            "save_every_n_examples and eval_every_n_examples must not be below the global batch size",
        ),
        (
            r"dataset was empty|rounding down for each size bucket",
            "dataset_too_small",
            "the dataset is smaller than one batch: lower the batch size, raise num_repeats or add images",
        ),
        (r"num_repeats must be", "num_repeats", "num_repeats must be above 0"),
        (
            r"NotImplementedError: .*forces alpha",
            "no_alpha",
            "remove `alpha` from [adapter]: the trainer sets it to the rank",
        ),
        (
            r"NotImplementedError: Model type",
            "unknown_model_type",
            "this version of the trainer does not know the model type: update the trainer",
        ),
        (
            r"NotImplementedError",
            "lora_only",
            "the trainer does not support this for this model: train an adapter of type lora",
        ),
        (
            r"(?:ModuleNotFoundError|ImportError): .*?'([\w.]{1,80})'",
            "install_module",
            "install `{what}` in the trainer's environment",
        ),
        (
            r"ModuleNotFoundError|ImportError",
            "install_missing",
            "install the missing package in the trainer's environment",
        ),
        (r"not compiled with CUDA", "torch_with_cuda", "install a PyTorch with CUDA in the trainer's environment"),
        (
            r"Not a homogeneous array",
            "homogeneous_array",
            "use values of one type in each TOML array, such as [1.0, 2.5]",
        ),
        (
            r"PermissionError|^setpriv: failed to execute",
            "path_access",
            "give the user of trainings (TRAINER_USER, or the service's user) access to that path",
        ),
        (
            r"loss scale already at minimum",
            "loss_overflowed",
            "the loss overflowed: lower the learning rate or use dtype bfloat16",
        ),
        (
            r"CUDA error|CUBLAS|CUDNN",
            "gpu_and_versions",
            "resume it; if it recurs, check the GPU's health and the versions of its driver and CUDA",
        ),
        (r"NCCL", "nccl_again", "resume it; if it recurs, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1"),
        (
            r"AssertionError",
            "assertion",
            "the traceback shows which condition failed: correct that setting",
        ),
        (
            r"(?:error: unrecognized arguments|error: argument)",
            "other_flags",
            "this version of the trainer has other options: update the trainer",
        ),
    )
)


_READ = Reason.of(
    "read the traceback; correct the request or the trainer's environment, then resume or restart it", "read_traceback"
)


def hint_for(text: str) -> Reason:
    """Return the hint for this exception line, or the general advice to read the traceback."""
    text = text[:LINE_LIMIT]
    for pattern, code, hint in HINTS:
        found = pattern.search(text)
        if found is not None:
            return Reason.of(hint, f"hint_{code}", **({"what": found[1]} if pattern.groups else {}))
    return _READ
