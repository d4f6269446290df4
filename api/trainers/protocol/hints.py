"""What to do about errors of the trainer's own that users are known to meet."""

import re

from api.trainers.protocol.error_lines import LINE_LIMIT

#: The first that matches the exception's line; `{}` is its first group.
_HINTS = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        # -- the installation
        (
            r"Using RTX 4000 series|NCCL_P2P_DISABLE",
            "set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1 in `env`: these boards need both",
        ),
        (
            (
                r"flash_attn.*(?:undefined symbol|DLL load failed)"
                r"|undefined symbol.*flash_attn|FLASH_ATTN_2_AVAILABLE|flash_attn_varlen_func"
            ),
            "install flash-attn anew, built for the trainer's version of torch and this GPU",
        ),
        (r"undefined symbol", "install the package that is named anew, built for the trainer's version of torch"),
        (
            r"No module named '(?:comfy|hyvideo|ltx_video|cosmos1|flow|lumina_2|models|src)\b",
            "run `git submodule update --init --recursive` in the trainer's directory",
        ),
        (
            r"CUDA Setup failed|bitsandbytes.*(?:without|no) (?:GPU|CUDA) support|libbitsandbytes",
            "install a bitsandbytes that fits to the trainer's CUDA, or choose an optimizer without 8bit",
        ),
        (
            (
                r"Error building extension|MissingCUDAException|CUDA_HOME"
                r"|Unable to JIT load|fatal error: .*\.h: No such file"
            ),
            "install a compiler and the CUDA toolkit of torch's version, and set CUDA_HOME for the service",
        ),
        (
            r"no kernel image is available",
            "install a PyTorch that was built for this GPU in the trainer's environment",
        ),
        (
            r"driver (?:version is insufficient|on your system is too old)",
            "update the NVIDIA driver, or install a PyTorch for an older CUDA",
        ),
        (r"Too many open files|\[Errno 24\]", "raise the limit of open files of the service (LimitNOFILE, ulimit -n)"),
        (
            r"expandable_segments",
            "remove expandable_segments from PYTORCH_CUDA_ALLOC_CONF in `env`: this PyTorch or system cannot use it",
        ),
        (
            r"api_key not configured|wandb.*(?:log ?in|API key)|UsageError.*key|No API key",
            "give wandb_api_key in [monitoring], or set enable_wandb = false",
        ),
        (r"torch\._dynamo|torch\._inductor|BackendCompilerFailed|triton\.compiler", "set compile = false"),
        # -- files of models
        (
            (
                r"MetadataIncompleteBuffer|HeaderTooLarge|InvalidHeader"
                r"|SafetensorError|deserializing header|PytorchStreamReader failed"
            ),
            "the file is damaged or was not downloaded to its end: download it again",
        ),
        (
            r"Weights only load failed|UnpicklingError",
            "the file is no plain weights file: take the .safetensors version of it",
        ),
        (
            r"Could not autodetect model variant|Unknown model_type",
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
            "the weights are incomplete or of another model: download all their files, or correct the path",
        ),
        (r"fp8_scaled weights are not supported", "take the bf16 file, or one of plain fp8 without scales"),
        (r"full finetune a quantized", "take the bf16 file, set diffusion_model_dtype, or add [adapter]"),
        (r"Expected .* to be a safetensors file", "name a .safetensors file in [model]"),
        (r"(?:No|Multiple) safetensors files? found", "name the directory of one saved adapter in init_from_existing"),
        (
            r"is not in the model parameters",
            "init_from_existing names an adapter of another model or of another kind: name one of this",
        ),
        (r"Target modules .* not found", "correct exclude_modules: nothing is left to train"),
        # -- settings
        (
            r"Cannot swap more than (.{1,60}?)(?: blocks)?\. Requested",
            "lower blocks_to_swap: at most {} can be swapped",
        ),
        (
            r"Block swapping only works when|Block swapping only works with",
            "leave blocks_to_swap out, or train an adapter with pipeline_stages = 1",
        ),
        (r"Block swapping is not implemented", "leave blocks_to_swap out: this model cannot do it"),
        (
            r"Expected all tensors to be on the same device",
            "set disable_block_swap_for_eval = true (or leave blocks_to_swap out)",
        ),
        (r"KeyError: 'lr'", "leave gradient_release out, or set `lr` in [optimizer]"),
        (
            r"KeyError: '(nf4|bf16|fp16|fp32|fp8|half|int8|bnb|float|float8_e4m3)'",
            (
                "`{}` is no data type of the trainer: write bfloat16, "
                "float16, float32, float8, float8_e4m3fn or float8_e5m2"
            ),
        ),
        (
            r"KeyError: '(resolutions|min_ar|max_ar|num_ar_buckets)'",
            "set `{}` at the top level of the dataset, too: it is looked for there whatever a directory says",
        ),
        (
            r"unexpected keyword argument '(\w{1,80})'",
            "remove `{}` from [optimizer]: every key there becomes an argument, and this optimizer does not take it",
        ),
        (
            r"module '?pytorch_optimizer'? has no attribute '(\w{1,80})'",
            "correct [optimizer].type: pytorch_optimizer has no `{}`, and upper and lower case matter",
        ),
        (
            r"missing 1 required positional argument: 'lr'|missing \d+ required positional argument",
            "set `lr` (and what else the optimizer needs) in [optimizer]",
        ),
        (r"Unknown lr_scheduler", "write lr_scheduler = 'constant', 'linear' or 'cosine'"),
        (r"video_clip_mode", "write video_clip_mode = 'single_beginning' or 'single_middle'"),
        (r"string indices must be integers", "write each of eval_datasets as a table: name = '…', config = 'x.toml'"),
        (
            r"data parallel world size must be 1",
            "set pipeline_stages to the number of GPUs, or leave gradient_release out",
        ),
        (r"CFG training requires", "set pipeline_stages = 1, or leave `cfg` out"),
        (r"partition_split must be", "give partition_split one layer less than pipeline_stages"),
        (
            r"does not require grad|None of the inputs have requires_grad",
            "check exclude_modules and learning rates of 0: nothing is left to train",
        ),
        # -- the dataset
        (r"Invalid (\w{1,40}): ", "correct `{}` in the dataset: there is no such directory or file"),
        (r"had no images/videos", "name a directory with images or videos in the dataset"),
        (r"No control file exists", "put a control image of the same name into control_path for each image"),
        (r"Mask shape", "make each mask as large as its image"),
        (r"WebP videos", "convert the animated WebP files to videos or to single images"),
        (r"must contain lists of captions", 'write lists into captions.json: "a.png": ["a caption"]'),
        (r"less frames \(", "set shorter frame_buckets, or remove the clips that are named"),
        (
            r"image file is truncated|UnidentifiedImageError|cannot identify image",
            "replace or remove the image that is named: it is damaged",
        ),
        (r"stack expects each tensor to be equal size", "set caching_batch_size = 1"),
        (r"UnicodeDecodeError", "save captions and TOML files as UTF-8"),
        (r"KeyError: 'epochs'", "set `epochs` in the configuration: it is read only when the first epoch ends"),
        (r"KeyError: '([^']{1,80})'", "the configuration lacks the key `{}`: add it where the trainer looks for it"),
        (r"FileExistsError: .*/tmp'", "a killed save left this `tmp` directory behind: resume, which removes it"),
        (
            r"ZeroDivisionError",
            "save_every_n_examples and eval_every_n_examples must not be below the global batch size",
        ),
        (
            r"dataset was empty|rounding down for each size bucket",
            "the dataset is smaller than one batch: lower the batch size, raise num_repeats or add images",
        ),
        (r"num_repeats must be", "num_repeats must be above 0"),
        (r"NotImplementedError: .*forces alpha", "remove `alpha` from [adapter]: the trainer sets it to the rank"),
        (r"NotImplementedError: Model type", "this checkout of the trainer does not know the model type: update it"),
        (r"NotImplementedError", "the trainer cannot do this with this model: train an adapter of type lora"),
        (r"(?:ModuleNotFoundError|ImportError): .*?'([\w.]{1,80})'", "install `{}` in the trainer's environment"),
        (r"ModuleNotFoundError|ImportError", "install what is missing in the trainer's environment"),
        (r"not compiled with CUDA", "install a PyTorch with CUDA in the trainer's environment"),
        (r"Not a homogeneous array", "the trainer's TOML reader wants one type in an array: write [1.0, 2.5]"),
        (r"PermissionError", "give this service's user access to that path"),
        (r"loss scale already at minimum", "the loss overflowed: lower the learning rate or use dtype bfloat16"),
        (
            r"CUDA error|CUBLAS|CUDNN",
            "resume it; if it returns, check the GPU's health and the versions of its driver and CUDA",
        ),
        (r"NCCL", "resume it; if it returns, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1"),
        (r"AssertionError", "the traceback shows which condition of the trainer was not met: correct that setting"),
        (
            r"(?:error: unrecognized arguments|error: argument)",
            "this checkout of the trainer has other flags: update it",
        ),
    )
)


def hint_for(text: str) -> str:
    """What to do about an exception's line."""
    text = text[:LINE_LIMIT]
    for pattern, hint in _HINTS:
        found = pattern.search(text)
        if found is not None:
            return hint.format(*found.groups())
    return "read the traceback; correct the request or the trainer's environment, then resume or restart it"
