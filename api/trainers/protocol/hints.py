"""What to do about errors of the trainer's own that users are known to meet."""

import re

from api.domain.reason import Reason
from api.trainers.protocol.error_lines import LINE_LIMIT

#: Pattern of an exception's line, code, and hint, in which `{what}` is the first group; the first that matches holds.
HINTS = tuple(
    (re.compile(pattern), code, hint)
    for pattern, code, hint in (
        # -- the installation
        (
            r"Using RTX 4000 series|NCCL_P2P_DISABLE",
            "boards_need_both",
            "set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1 in `env`: these boards need both",
        ),
        (
            (
                r"flash_attn.*(?:undefined symbol|DLL load failed)"
                r"|undefined symbol.*flash_attn|FLASH_ATTN_2_AVAILABLE|flash_attn_varlen_func"
            ),
            "flash_attn",
            "install flash-attn anew, built for the trainer's version of torch and this GPU",
        ),
        (
            r"undefined symbol",
            "package_anew",
            "install the package that is named anew, built for the trainer's version of torch",
        ),
        (
            r"No module named '(?:comfy|hyvideo|ltx_video|cosmos1|flow|lumina_2|models|src)\b",
            "submodules",
            "run `git submodule update --init --recursive` in the trainer's directory",
        ),
        (
            r"CUDA Setup failed|bitsandbytes.*(?:without|no) (?:GPU|CUDA) support|libbitsandbytes",
            "bitsandbytes",
            "install a bitsandbytes that fits to the trainer's CUDA, or choose an optimizer without 8bit",
        ),
        (
            (
                r"Error building extension|MissingCUDAException|CUDA_HOME"
                r"|Unable to JIT load|fatal error: .*\.h: No such file"
            ),
            "compiler",
            "install a compiler and the CUDA toolkit of torch's version, and set CUDA_HOME for the service",
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
            "give wandb_api_key in [monitoring], or set enable_wandb = false",
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
            "the file is damaged or was not downloaded to its end: download it again",
        ),
        (
            r"Weights only load failed|UnpicklingError",
            "plain_weights",
            "the file is no plain weights file: take the .safetensors version of it",
        ),
        (
            r"Could not autodetect model variant|Unknown model_type",
            "unknown_wan",
            (
                "ckpt_path holds a Wan that this trainer does not know: take "
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
                "a file of another model, or another version of it, stands in one "
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
            "take the bf16 file, or one of plain fp8 without scales",
        ),
        (
            r"full finetune a quantized",
            "bf16_for_finetune",
            "take the bf16 file, set diffusion_model_dtype, or add [adapter]",
        ),
        (r"Expected .* to be a safetensors file", "safetensors_file", "name a .safetensors file in [model]"),
        (
            r"(?:No|Multiple) safetensors files? found",
            "one_adapter",
            "name the directory of one saved adapter in init_from_existing",
        ),
        (
            r"is not in the model parameters",
            "other_adapter",
            "init_from_existing names an adapter of another model or of another kind: name one of this",
        ),
        (r"Target modules .* not found", "nothing_excluded", "correct exclude_modules: nothing is left to train"),
        # -- settings
        (
            r"Cannot swap more than (.{1,60}?)(?: blocks)?\. Requested",
            "swap_at_most",
            "lower blocks_to_swap: at most {what} can be swapped",
        ),
        (
            r"Block swapping only works when|Block swapping only works with",
            "no_swap_or_adapter",
            "leave blocks_to_swap out, or train an adapter with pipeline_stages = 1",
        ),
        (r"Block swapping is not implemented", "no_swap", "leave blocks_to_swap out: this model cannot do it"),
        (
            r"Expected all tensors to be on the same device",
            "swap_for_eval",
            "set disable_block_swap_for_eval = true (or leave blocks_to_swap out)",
        ),
        (r"KeyError: 'lr'", "lr_or_no_release", "leave gradient_release out, or set `lr` in [optimizer]"),
        (
            r"KeyError: '(nf4|bf16|fp16|fp32|fp8|half|int8|bnb|float|float8_e4m3)'",
            "dtype_name",
            (
                "`{what}` is no data type of the trainer: write bfloat16, "
                "float16, float32, float8, float8_e4m3fn or float8_e5m2"
            ),
        ),
        (
            r"KeyError: '(resolutions|min_ar|max_ar|num_ar_buckets)'",
            "key_at_top",
            "set `{what}` at the top level of the dataset, too: it is looked for there whatever a directory says",
        ),
        (
            r"unexpected keyword argument '(\w{1,80})'",
            "unknown_argument",
            "remove `{what}` from [optimizer]: every key there becomes an argument, which this optimizer does not take",
        ),
        (
            r"module '?pytorch_optimizer'? has no attribute '(\w{1,80})'",
            "optimizer_name",
            "correct [optimizer].type: pytorch_optimizer has no `{what}`, and upper and lower case matter",
        ),
        (
            r"missing 1 required positional argument: 'lr'|missing \d+ required positional argument",
            "lr_needed",
            "set `lr` (and what else the optimizer needs) in [optimizer]",
        ),
        (r"Unknown lr_scheduler", "lr_scheduler", "write lr_scheduler = 'constant', 'linear' or 'cosine'"),
        (r"video_clip_mode", "video_clip_mode", "write video_clip_mode = 'single_beginning' or 'single_middle'"),
        (
            r"string indices must be integers",
            "eval_tables",
            "write each of eval_datasets as a table: name = '…', config = 'x.toml'",
        ),
        (
            r"data parallel world size must be 1",
            "stages_or_no_release",
            "set pipeline_stages to the number of GPUs, or leave gradient_release out",
        ),
        (r"CFG training requires", "no_cfg", "set pipeline_stages = 1, or leave `cfg` out"),
        (r"partition_split must be", "partition_split", "give partition_split one layer less than pipeline_stages"),
        (
            r"does not require grad|None of the inputs have requires_grad",
            "nothing_trained",
            "check exclude_modules and learning rates of 0: nothing is left to train",
        ),
        # -- the dataset
        (
            r"Invalid (\w{1,40}): ",
            "dataset_path",
            "correct `{what}` in the dataset: there is no such directory or file",
        ),
        (r"had no images/videos", "no_images", "name a directory with images or videos in the dataset"),
        (
            r"No control file exists",
            "control_images",
            "put a control image of the same name into control_path for each image",
        ),
        (r"Mask shape", "masks", "make each mask as large as its image"),
        (r"WebP videos", "webp", "convert the animated WebP files to videos or to single images"),
        (r"must contain lists of captions", "captions_json", 'write lists into captions.json: "a.png": ["a caption"]'),
        (r"less frames \(", "shorter_buckets", "set shorter frame_buckets, or remove the clips that are named"),
        (
            r"image file is truncated|UnidentifiedImageError|cannot identify image",
            "damaged_image",
            "replace or remove the image that is named: it is damaged",
        ),
        (r"stack expects each tensor to be equal size", "batch_of_one", "set caching_batch_size = 1"),
        (r"UnicodeDecodeError", "utf8", "save captions and TOML files as UTF-8"),
        (
            r"KeyError: 'epochs'",
            "epochs",
            "set `epochs` in the configuration: it is read only when the first epoch ends",
        ),
        (
            r"KeyError: '([^']{1,80})'",
            "missing_key",
            "the configuration lacks the key `{what}`: add it where the trainer looks for it",
        ),
        (
            r"FileExistsError: .*/tmp'",
            "tmp_left_behind",
            "a killed save left this `tmp` directory behind: resume, which removes it",
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
            "this checkout of the trainer does not know the model type: update it",
        ),
        (
            r"NotImplementedError",
            "lora_only",
            "the trainer cannot do this with this model: train an adapter of type lora",
        ),
        (
            r"(?:ModuleNotFoundError|ImportError): .*?'([\w.]{1,80})'",
            "install_module",
            "install `{what}` in the trainer's environment",
        ),
        (r"ModuleNotFoundError|ImportError", "install_missing", "install what is missing in the trainer's environment"),
        (r"not compiled with CUDA", "torch_with_cuda", "install a PyTorch with CUDA in the trainer's environment"),
        (
            r"Not a homogeneous array",
            "homogeneous_array",
            "the trainer's TOML reader wants one type in an array: write [1.0, 2.5]",
        ),
        (
            r"PermissionError|^setpriv: failed to execute",
            "path_access",
            "give the user that trainings run as (TRAINER_USER, else the service's) access to that path",
        ),
        (
            r"loss scale already at minimum",
            "loss_overflowed",
            "the loss overflowed: lower the learning rate or use dtype bfloat16",
        ),
        (
            r"CUDA error|CUBLAS|CUDNN",
            "gpu_and_versions",
            "resume it; if it returns, check the GPU's health and the versions of its driver and CUDA",
        ),
        (r"NCCL", "nccl_again", "resume it; if it returns, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1"),
        (
            r"AssertionError",
            "assertion",
            "the traceback shows which condition of the trainer was not met: correct that setting",
        ),
        (
            r"(?:error: unrecognized arguments|error: argument)",
            "other_flags",
            "this checkout of the trainer has other flags: update it",
        ),
    )
)


_READ = Reason.of(
    "read the traceback; correct the request or the trainer's environment, then resume or restart it", "read_traceback"
)


def hint_for(text: str) -> Reason:
    """What to do about the exception that this line names; None where no hint is known."""
    text = text[:LINE_LIMIT]
    for pattern, code, hint in HINTS:
        found = pattern.search(text)
        if found is not None:
            return Reason.of(hint, f"hint_{code}", **({"what": found[1]} if pattern.groups else {}))
    return _READ
