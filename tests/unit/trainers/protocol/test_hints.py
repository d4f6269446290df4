import pytest

from api.trainers.protocol.hints import hint_for

GENERIC = hint_for("an unknown error")

#: Error lines of a trainer, and a word in the expected remedy.
ENDINGS = [
    ("KeyError: 'epochs'", "epochs"),
    ("KeyError: 'blocks.0.self_attn.q.weight'", "incomplete"),
    ("KeyError: 'model.layers.3.mlp.up_proj.weight'", "incomplete"),
    ("KeyError: 'lr'", "gradient_release"),
    ("KeyError: 'nf4'", "not a data type"),
    ("TypeError: A.get_call_vae_fn.<locals>.fn() got multiple values for argument 'audio'", "remove control_path"),
    ("TypeError: A.get_call_vae_fn.<locals>.fn() takes 1 positional argument but 2 were given", "remove control_path"),
    ("KeyError: 'min_ar'", "top level"),
    ("KeyError: 'output_dir'", "output_dir"),
    ("NotImplementedError: Using RTX 4000 series doesn't support faster communication via P2P", "NCCL_IB_DISABLE=1"),
    ("ImportError: flash_attn_2_cuda.so: undefined symbol: _ZN3c105Error", "flash-attn"),
    ("ImportError: /x/flash_attn_2_cuda.cpython-312.so: undefined symbol: _ZN2at", "flash-attn"),
    ("AssertionError: assert FLASH_ATTN_2_AVAILABLE", "flash-attn"),
    ("ModuleNotFoundError: No module named 'comfy.model_management'", "submodule"),
    ("ModuleNotFoundError: No module named 'xformers'", "install `xformers`"),
    ("TypeError: QwenEmbedRope.forward() got multiple values for argument 'device'", "'diffusers<0.39'"),
    ("RuntimeError: CUDA Setup failed despite GPU being available.", "bitsandbytes"),
    ("RuntimeError: Error building extension 'fused_adam'", "CUDA_HOME"),
    ("deepspeed.ops.op_builder.builder.MissingCUDAException: CUDA_HOME does not exist", "CUDA_HOME"),
    ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "built for this GPU"),
    ("RuntimeError: The NVIDIA driver on your system is too old (found version 11040)", "driver"),
    ("OSError: [Errno 24] Too many open files: '/d/1.png'", "LimitNOFILE"),
    ("RuntimeError: Unrecognized CachingAllocator option: expandable_segments", "PYTORCH_CUDA_ALLOC_CONF"),
    ("wandb.errors.UsageError: api_key not configured (no-tty). call wandb.login(key=[your_api_key])", "wandb_api_key"),
    ("torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:", "compile = false"),
    (
        "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
        "download it again",
    ),
    ("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge", "git lfs pull"),
    ("OSError: Unable to load weights from checkpoint file for '/m/a.safetensors' at '/m/a.safetensors'.", "`/m/a.saf"),
    ("SafetensorError: Error while deserializing header: header too large", "git lfs pull"),
    ("SafetensorError: Error while deserializing header: HeaderTooSmall", "download it again"),
    ("SafetensorError: Error while deserializing header: incomplete metadata, file not fully", "download it again"),
    ("_pickle.UnpicklingError: invalid load key, '<'.", "web page"),
    ("ImportError: libcuda.so.1: cannot open shared object file: No such file or directory", "--gpus all"),
    ("ImportError: libc10.so: cannot open shared object file: No such file or directory", "reinstall the package"),
    ("AssertionError: libcuda.so cannot found!", "ldconfig"),
    ("RuntimeError: Could not load libtorchcodec. Likely causes:", "FFmpeg"),
    ("ConnectionError: ('Connection aborted.', RemoteDisconnected('Remote end closed connection'))", "network"),
    ("OSError: /v/decord/libdecord.so: cannot open shared object file: No such file", "reinstall the package"),
    ("PermissionError: [Errno 13] Permission denied: '/v/triton/backends/nvidia/bin/ptxas'", "without noexec"),
    ("triton.runtime.errors.PTXASError: PTXAS error: Internal Triton PTX codegen error", "does not know the GPU"),
    ("FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp']", "TMPDIR"),
    ("RuntimeError: torch_shm_manager: could not generate a random directory for manager socket", "TMPDIR"),
    ("ImportError: /v/_C.so: cannot allocate memory in static TLS block", "GLIBC_TUNABLES"),
    ("ImportError: /h/.triton/cache/6f/cuda_utils.so: failed to map segment from shared object", "TRITON_CACHE_DIR"),
    ("ImportError: /h/.cache/torch_extensions/py312/a.so: failed to map segment from shared", "TORCH_EXTENSIONS_DIR"),
    ("ImportError: /tmp/torchinductor_u/ab/x.so: failed to map segment from shared", "TORCHINDUCTOR_CACHE_DIR"),
    ("ImportError: /v/site-packages/torch/lib/a.so: failed to map segment from shared object", "without noexec"),
    ("ImportError: /v/lib/av/_core.so: cannot open shared object file: Permission denied", "must not read"),
    ("ImportError: /h/.triton/cache/6f/x.so: cannot open shared object file: No such file", "delete the directory"),
    ("ImportError: /h/.triton/cache/6f/x.so: file too short", "delete the directory"),
    ("ImportError: /v/lib/av/_core.so: invalid ELF header", "reinstall the package"),
    ("ImportError: _C.cpython-312.so: cannot open shared object file: No such file", "reinstall the package"),
    ("_pickle.UnpicklingError: Weights only load failed.", ".safetensors"),
    ("RuntimeError: Could not autodetect model variant. model_type=t2v, model_dim=1024", "Wan"),
    ("RuntimeError: Unknown model_type: vace", "Wan"),
    ("RuntimeError: Error(s) in loading state_dict for Chroma:", "another model"),
    ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (512x2560 and 4096x3072)", "another model"),
    ("ValueError: fp8_scaled weights are not supported. Please use bf16 or normal fp8 weights.", "bf16"),
    ("ValueError: Expected /m/a.pth to be a safetensors file", ".safetensors"),
    ("RuntimeError: Multiple safetensors files found in /a", "init_from_existing"),
    ("RuntimeError: modified_state_dict key x is not in the model parameters", "the same model and kind"),
    ("RuntimeError: modified_state_dict key lora_unet_a.alpha is not in the model parameters", "another format"),
    ("RuntimeError: modified_state_dict key a.lora_up.default.weight is not in the model", "another format"),
    ("ImportError: cannot import name 'InputImpl' from 'comfy_api.latest' (/t/x.py)", "submodule ComfyUI"),
    ("ImportError: cannot import name 'x' from 'comfy_kitchen' (/v/x.py)", "version of `comfy_kitchen`"),
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 500: named symbol not found", "wsl --update"),
    ("RuntimeError: CUDA error: named symbol not found", "wsl --update"),
    ("VersionError: Detected incompatible Protobuf Gencode/Runtime versions when loading x", "--upgrade protobuf"),
    ("KeyError: \"filename 'a/b.png' not found\"", "has changed"),
    ("ValueError: The histogram is empty, please file a bug report.", "learning rate"),
    ("OSError: [Errno 37] No locks available", "local Linux disk"),
    ("OSError: [Errno 18] Invalid cross-device link: '/d/cache/a' -> '/d/cache/b'", "local Linux disk"),
    ("sqlite3.OperationalError: disk I/O error", "copy the dataset to a local"),
    ("pyarrow.lib.ArrowInvalid: Could not convert 1 with type numpy.int64: tried to convert", "--upgrade datasets"),
    ("NotImplementedError: Loading a dataset cached in a LocalFileSystem is not supported.", "--upgrade datasets"),
    (
        "DistNetworkError: The client socket has failed to connect to any network address of (a, 1)",
        "/etc/hosts",
    ),
    ("AssertionError: Cannot swap more than 28 blocks. Requested 40 blocks to swap.", "at most 28"),
    (
        "AssertionError: Cannot swap more than 17 double blocks and 36 single blocks. Requested 20 double blocks",
        "17 double blocks and 36 single",
    ),
    ("AssertionError: Block swapping only works with pipeline_stages=1", "pipeline_stages = 1"),
    (
        "RuntimeError: Expected all tensors to be on the same device, but found cuda:0 and cpu!",
        "disable_block_swap_for_eval",
    ),
    ("TypeError: AdamW.__init__() got an unexpected keyword argument 'learning_rate'", "remove `learning_rate`"),
    ("AttributeError: module 'pytorch_optimizer' has no attribute 'prodigy'", "case-sensitive"),
    ("NotImplementedError: Unknown lr_scheduler: poly", "cosine"),
    ("NotImplementedError: video_clip_mode=whole is not recognized", "single_middle"),
    ("TypeError: string indices must be integers, not 'str'", "eval_datasets"),
    ("RuntimeError: Invalid mask_path: /x", "mask_path"),
    ("AssertionError: Directory /x had no images/videos!", "images or videos"),
    ("RuntimeError: No control file exists for image /x/a.png", "control_path"),
    ("ValueError: Mask shape (1, 2) was not the same as image shape (3, 4).", "same size"),
    ("OSError: image file is truncated (3 bytes not processed)", "validate the request"),
    ("PIL.UnidentifiedImageError: cannot identify image file '/d/1.png'", "HEIC"),
    (
        "ValueError: video with shape torch.Size([3, 12, 8, 8]) has less frames (12) than the target_frames 33",
        "damaged",
    ),
    (
        'ValueError: Trying to set a tensor of shape torch.Size([5120, 16, 1, 2, 2]) in "weight" (which has',
        "same model",
    ),
    ("RuntimeError: cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH", "LD_LIBRARY_PATH"),
    (
        "RuntimeError: Promotion for Float8 Types is not supported, attempted to promote Float8_e4m3fn",
        "[adapter], add it",
    ),
    ("NotImplementedError: \"lerp_cuda\" not implemented for 'Float8_e4m3fn'", "`dtype` of float8, remove it"),
    ("sqlite3.DatabaseError: file is not a database", "delete the directory `cache`"),
    ("sqlite3.DatabaseError: database disk image is malformed", "delete the directory `cache`"),
    ("torch.AcceleratorError: CUDA error: device-side assert triggered", "CUDA_LAUNCH_BLOCKING=1"),
    ("torch.AcceleratorError: CUDA error: an illegal memory access was encountered", "expandable_segments"),
    ("ValueError: loaded state dict contains a parameter group that doesn't match the size", "pipeline_stages"),
    ("RuntimeError: stack expects each tensor to be equal size, but got [1] at entry 0", "regenerate_cache"),
    ("FileExistsError: [Errno 17] File exists: '/r/epoch1/tmp'", "tmp"),
    ("RuntimeError: FlashAttention only supports Ampere GPUs or newer.", "Ampere"),
    (
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 803: system has unsupported display driver",
        "restart",
    ),
    ("AttributeError: 'bool' object has no attribute 'contiguous'", "git pull"),
    ("AssertionError: i2v/flf2v must train on videos, but got an image", "remove the images, and videos of a single"),
    ("OSError: [Errno 30] Read-only file system: '/data/cache'", "writable"),
    ("sqlite3.OperationalError: database is locked", "local disk"),
    ("TypeError: 'autocommit' is an invalid keyword argument for Connection()", "Python 3.12"),
    ("RuntimeError: ERROR: VAE is invalid: None", "`vae`"),
    ("RuntimeError: ERROR: Could not detect model type of: /m/x.safetensors", "update the trainer"),
    ("ValueError: All modules were excluded. This is likely unintended.", "exclude_modules"),
    ("AssertionError: (12, 10)", "regenerate_cache"),
    ("ImportError: cannot import name 'QwenImagePipeline' from 'diffusers' (/x/__init__.py)", "--upgrade"),
    ("AttributeError: module 'diffusers' has no attribute 'QwenImagePipeline'", "--upgrade"),
    ("AttributeError: module 'torch._C' has no attribute '_cuda_setDevice'", "PyTorch with CUDA"),
    ("ModuleNotFoundError: No module named 'comfy_api'", "submodule"),
    ("ModuleNotFoundError: No module named 'hyimage'", "submodule"),
    ("ModuleNotFoundError: No module named 'comfy_kitchen'", "install `comfy_kitchen`"),
    ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (512x7680 and 12288x4096)", "regenerate_cache"),
    ("ValueError: AutoencoderKLQwenImage() does not have a parameter or a buffer named conv1.weight.", "another model"),
    ("ValueError: loaded state dict contains a parameter group that doesn't match the size", "reset_optimizer"),
    (
        "torch.distributed.DistBackendError: NCCL error: Duplicate GPU detected : rank 1 and rank 0",
        "CUDA_VISIBLE_DEVICES",
    ),
    ("RuntimeError: CUDA error: invalid device ordinal", "CUDA_VISIBLE_DEVICES"),
    ("ValueError: No slot '3' specified on host 'localhost'", "nvidia-smi"),
    (
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
        "Fabric Manager",
    ),
    ("RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable", "nvidia-smi -c DEFAULT"),
    ("RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU", "--gpus all"),
    ("RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment", "restart the machine"),
    ("RuntimeError: CUDA error: the provided PTX was compiled with an unsupported toolchain.", "NVIDIA driver"),
    ("RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", "memory is full"),
    ("RuntimeError: Unable to find a valid cuDNN algorithm to run convolution", "memory is full"),
    ("RuntimeError: CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul`", "LD_LIBRARY_PATH"),
    ("RuntimeError: HIP error: invalid device function", "built for this GPU"),
    ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", "libGL.so.1"),
    ("ImportError: /lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /v/x.so)", "newer Linux"),
    (
        "OSError: libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12",
        "LD_LIBRARY_PATH",
    ),
    (
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header",
        "numpy below 2",
    ),
    ("RuntimeError: operator torchvision::nms does not exist", "torchvision"),
    ("ImportError: cannot import name 'cached_download' from 'huggingface_hub' (/v/__init__.py)", "wrong version"),
    (
        "ImportError: huggingface-hub<1.0 is required for a normal functioning of this module, but found hub==1.0.1.",
        "hub==1.0.1 does",
    ),
    (
        "ImportError: This file requires the following packages that were not found in your environment: einops. Run",
        "`einops`",
    ),
    ("ImportError: FlashAttention2 has been toggled on, but it cannot be used", "flash-attn"),
    (
        "RuntimeError: Failed to import transformers.models.clip.modeling_clip because of the following error",
        "requirements.txt",
    ),
    ("ModuleNotFoundError: No module named 'triton.ops'", "bitsandbytes"),
    ("ModuleNotFoundError: No module named 'pkg_resources'", "setuptools"),
    ("ModuleNotFoundError: No module named 'flash_attn'", "flash-attn"),
    ("NameError: name 'str2optimizer32bit' is not defined", "bitsandbytes"),
    ("AttributeError: 'NoneType' object has no attribute 'cget_managed_ptr'", "bitsandbytes"),
    ("AttributeError: /v/libbitsandbytes_cpu.so: undefined symbol: cget_col_row_stats", "bitsandbytes"),
    ("Error named symbol not found at line 233 in file /src/csrc/ops.cu", "bitsandbytes"),
    (
        "torch.distributed.DistBackendError: NCCL error in: x.cpp:1, remote process exited or there was",
        "another rank",
    ),
    ("torch.distributed.DistNetworkError: The client socket has timed out after 600s", "firewall"),
    ("RuntimeError: Distributed package doesn't have NCCL built in", "PyTorch with CUDA"),
    (
        "deepspeed.ops.op_builder.builder.CUDAMismatchException: Installed CUDA version 12.6 does not match",
        "CUDA toolkit",
    ),
    ("subprocess.CalledProcessError: Command '['ninja', '-v']' returned non-zero exit status 1.", "compiler"),
    ("torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler. Please specify via CC", "gcc"),
    (
        "ImportError: /c/torch_extensions/py312_cu128/fused_adam.so: cannot open shared object file: No such",
        "delete the directory that the error names",
    ),
    ("RuntimeError: FlashAttention only support fp16 and bf16 data type", "bfloat16"),
    ("RuntimeError: expected scalar type Float but found BFloat16", "bfloat16"),
    ("RuntimeError: Input type (float) and bias type (c10::BFloat16) should be the same", "bfloat16"),
    (
        "RuntimeError: The size of tensor a (64) must match the size of tensor b (96) at non-singleton dimension 3",
        "regenerate_cache",
    ),
    ("torch.utils.checkpoint.CheckpointError: Recomputed values for the following tensors", "compile = false"),
    (
        "NotImplementedError: Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty()",
        "lack weights",
    ),
    ("ValueError: weight is on the meta device, we need a `value` to put in on 0.", "lack weights"),
    ("RuntimeError: Error(s) in loading state_dict for AutoencoderKLCausal3D:", "vae_path"),
    ("RuntimeError: Error(s) in loading state_dict for WanVAE_:", "vae_path"),
    ("RuntimeError: Error(s) in loading state_dict for T5Encoder:", "t5_path"),
    ("RuntimeError: Error(s) in loading state_dict for Gemma2Model:", "llm_path"),
    ("RuntimeError: Error(s) in loading state_dict for CLIPTextModel:", "clip_path"),
    ("RuntimeError: Error(s) in loading state_dict for ChromaTransformer2DModel:", "transformer_path"),
    ("RuntimeError: Error(s) in loading state_dict for WanModel:", "transformer_path"),
    ("OSError: You seem to have cloned a repository without having git-lfs installed.", "git lfs pull"),
    ("_pickle.UnpicklingError: invalid load key, 'v'.", "git lfs pull"),
    ("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)", "JSON file"),
    (
        "ValueError: Pipeline <class 'diffusers.FluxPipeline'> expected {'vae'}, but only {'transformer'} were passed.",
        "lacks a part",
    ),
    (
        "requests.exceptions.HTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/x",
        "HF_TOKEN",
    ),
    (
        "ValueError: The checkpoint has model type `a` but Transformers does not recognize this architecture.",
        "transformers",
    ),
    ("KeyError: 'qwen2_5_vl'", "--upgrade transformers"),
    ("Exception: data did not match any variant of untagged enum ModelWrapper at line 757443 column 3", "tokenizers"),
    (
        "ImportError: T5Tokenizer requires the SentencePiece library but it was not found in your environment.",
        "sentencepiece",
    ),
    ("AttributeError: module 'torch' has no attribute 'float8_e4m3fn'", "PyTorch"),
    ("TypeError: WanAttentionBlock.forward() got an unexpected keyword argument 'x'", "git pull"),
    ("TypeError: FluxTransformer2DModel.__init__() got an unexpected keyword argument 'pooled'", "git pull"),
    ("ValueError: Unknown scheme for proxy URL URL('socks://127.0.0.1:7890/')", "HTTPS_PROXY"),
    (
        "torch._inductor.exc.InductorError: CalledProcessError: Command '['/usr/bin/gcc', '/tmp/t/main.c'",
        "python3-dev",
    ),
    ("RuntimeError: can't start new thread", "TasksMax"),
    ("RuntimeError: received 0 items of ancdata", "LimitNOFILE"),
    ("wandb.errors.errors.CommError: Run initialization has timed out after 90.0 sec.", "enable_wandb = false"),
    ("OSError: [Errno 5] Input/output error: '/data/a.png'", "dmesg"),
    ("OSError: [Errno 116] Stale file handle: '/data/cache/x'", "mount"),
    ("OSError: [Errno 36] File name too long: '/data/aaa.txt'", "shorten"),
    ("IsADirectoryError: [Errno 21] Is a directory: '/m/flux'", "file in it"),
    ("sqlite3.OperationalError: attempt to write a readonly database", "writable"),
    (
        "av.error.InvalidDataError: [Errno 1094995529] Invalid data found when processing input: '/d/a.mp4'",
        "damaged or incomplete",
    ),
    (
        "PIL.Image.DecompressionBombError: Image size (400000000 pixels) exceeds limit of 178956970 pixels",
        "too many pixels",
    ),
    ("ValueError: Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK", "without metadata"),
    ("OSError: decoder error -2 when reading image file", "damaged"),
    ("IndexError: index out of range in self", "tokenizer"),
    ("ValueError: optimizer got an empty parameter list", "exclude_modules"),
    ("ValueError: Invalid beta parameter at index 1: 1.0", "`beta`"),
    ("NotImplementedError: activation_checkpointing=unslothh is not implemented", "'unsloth'"),
    ("RuntimeError: Could not autodetect Flux2 model version from weights file.", "update the trainer"),
    ("RuntimeError: Missing text encoder path", "text encoder"),
    ("KeyError: 'SLURM_NTASKS'", "variable `SLURM_NTASKS`"),
    (
        "RuntimeError: Processed dataset was empty. Probably caused by rounding down for each size bucket.",
        "skipped files",
    ),
    (
        "toml.decoder.TomlDecodeError: Reserved escape sequence used (line 5 column 1 char 87)",
        "wrong at line 5 column 1:",
    ),
    ("toml.decoder.TomlDecodeError: Duplicate keys! (line 7 column 1 char 120)", "each key once"),
    ("tomllib.TOMLDecodeError: Invalid value (at line 2, column 11)", "wrong at line 2, column 11"),
    ("ModuleNotFoundError: No module named 'diffusers.models.modeling_flax'", "requirements.txt"),
    ("ModuleNotFoundError: No module named '_lzma'", "complete Python"),
    ("ModuleNotFoundError: No module named 'cv2'", "opencv-python-headless"),
    ("ValueError: Your setup doesn't support bf16/gpu.", "float16"),
    ("ValueError: type fp8e4nv not supported in this architecture.", "float8"),
    ("ValueError: torch.load requires users to upgrade torch to at least v2.6", "2.6"),
    ("ValueError: Some modules are dispatched on the CPU or the disk.", "GPU's memory"),
    ("RuntimeError: CUDA error: the launch timed out and was terminated", "display"),
    ("RuntimeError: CUDA error: operation not supported", "expandable_segments"),
    ("torch._inductor.exc.TritonMissing: Cannot find a working triton installation.", "install triton"),
    ("RuntimeError: ptxas fatal   : Value 'sm_120' is not defined for option 'gpu-name'", "newer PyTorch"),
    ("ValueError: Target module Conv3d() is not supported.", "exclude_modules"),
    ("RuntimeError: DataLoader worker (pid(s) 4501) exited unexpectedly", "dmesg"),
    ("KeyError: 'custom_loader'", "another version"),
    ("OSError: [Errno 101] Network is unreachable", "network"),
    ("IndexError: Invalid key: 5 is out of bounds for size 0", "regenerate_cache"),
    (
        "safetensors_rust.SafetensorError: Error while serializing: IoError(Os { code: 13, kind: PermissionDenied })",
        "give the user",
    ),
    ("safetensors_rust.SafetensorError: device cuda:1 is invalid", "nvidia-smi"),
    ("AttributeError: module 'numpy' has no attribute 'bool'.", "numpy"),
    ("pyarrow.lib.ArrowInvalid: Not an Arrow file", "delete the directory `cache`"),
    ("RuntimeError: mat1 and mat2 must have the same dtype, but got BFloat16 and Float", "bfloat16"),
    ("RuntimeError: CUDA error: device kernel image is invalid", "built for this GPU"),
    ("ValueError: API key must be 40 characters long, yours was 12", "wandb_api_key"),
    ("ValueError: API key must have 40+ characters, has 12.", "wandb_api_key"),
    ("AttributeError: module 'comfy.latent_formats' has no attribute 'Flux2'", "git submodule update"),
    ("ImportError: cannot import name 'Flux2' from 'comfy.latent_formats' (/t/submodules/ComfyUI/x.py)", "git pull"),
    ("ImportError: cannot import name 'latent_formats' from 'comfy' (/t/submodules/ComfyUI/x.py)", "git pull"),
    ("TypeError: load_diffusion_model() got an unexpected keyword argument 'disable_dynamic'", "git submodule update"),
    ("TypeError: Rope.forward() missing 1 required positional argument: 'device'", "git submodule update"),
    (
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward compatibility was attempted",
        "restart",
    ),
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 999: unknown error", "`nvidia-smi`"),
    ("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 101: invalid device ordinal", "fewer GPUs"),
    ("pynvml.NVMLError_LibRmVersionMismatch: Driver/library version mismatch", "restart"),
    ("ValueError: Due to a serious vulnerability in `torch.load`, we now require users to upgrade torch", "2.6"),
    ("FileNotFoundError: Directory /d/cache/wan/metadata/a is neither a `Dataset` directory nor", "directory `cache`"),
    ("FileNotFoundError: [Errno 2] No such file or directory: '/d/cache/wan/a/shard_3.bin'", "directory `cache`"),
    ("EOFError: Ran out of input", "download it again"),
    ("RuntimeError: num_stages (2) must divide distributed world size (3)", "pipeline_stages"),
    ("AssertionError: Control latents shape (1, 2) doesn't match latents shape (2, 1)", "control image"),
    ("AssertionError: Need model framerate but don't have it. This shouldn't happen.", "remove the videos"),
    ("ValueError: No model weights found in /m/hunyuan", "incomplete"),
    ("RuntimeError: Text encoder <class 'X'> does not have a function to call it", "text encoder"),
    ("NotImplementedError", "type lora"),
    ("OSError: No such device (os error 19)", "/mnt/c"),
    ("AttributeError: 'NoneType' object has no attribute 'Params'", "bf16 file"),
    ("ValueError: Target modules set() not found in the base model. Please check the target", "git pull"),
    ("ImportError: /h/.triton/cache/6f/cuda_utils.so: undefined symbol: cuModuleGetFunction", "delete the directory"),
    ("TypeError: cannot pickle '_queue.SimpleQueue' object", "git pull"),
    (
        "CalledProcessError: Command '['/usr/bin/gcc', '/tmp/a/main.c', '-o', '/tmp/a/cuda_utils.so', '-lcuda']'",
        "python3-dev",
    ),
    ("CalledProcessError: Command '['/usr/local/cuda/bin/nvcc', '-V']' returned non-zero exit status 1.", "CUDA_HOME"),
    (
        "ImportError: Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install`",
        "newest bitsandbytes",
    ),
    (
        "RuntimeError: The total norm of order 2.0 for gradients is non-finite, so it cannot be clipped.",
        "learning rate",
    ),
    ("RuntimeError: The expanded size of the tensor (15) must match the existing size (16)", "regenerate_cache"),
    ("RuntimeError: Trying to resize storage that is not resizable", "regenerate_cache"),
    ("RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA with", "git submodule update"),
    ("torch.AcceleratorError: CUDA error: unknown error", "wsl --shutdown"),
    ("RuntimeError: No backend type associated with device type cpu", "pipeline_stages = 1"),
    ("RuntimeError: Expected tensor for argument #1 'indices' to have one of the following scalar", "no caption"),
    ("RuntimeError: No available kernel. Aborting execution.", "attention kernels"),
    ("RuntimeError: cutlassF: no kernel found to launch!", "attention kernels"),
    ("RuntimeError: Expected attn_mask dtype to be bool or float or to match query dtype", "bfloat16"),
    ("NotImplementedError: Model type flux1 is not implemented", "`flux1`"),
    ("httpx.LocalProtocolError: Illegal header value b'Bearer hf_abc\\n'", "HF_TOKEN"),
    (
        "requests.exceptions.InvalidHeader: Invalid leading whitespace or return character(s) in header value",
        "HF_TOKEN",
    ),
    ("filelock._error.Timeout: The file lock '/h/a.lock' could not be acquired.", "downloads the same model"),
    ("RuntimeError: CUDA error: MPS client failed to connect to the MPS control daemon", "nvidia-cuda-mps-control"),
    ('RuntimeError: NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/c10/cuda/CUDACachingAllocator.cpp":1016', "was most"),
    ("RuntimeError: use_libuv was requested but PyTorch was build without libuv support", "WSL2"),
    ("ImportError: /v/torch/lib/libtorch_cuda.so: undefined symbol: ncclCommShrink", "LD_LIBRARY_PATH"),
    ("ImportError: /v/torch/lib/libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent", "mkl<2024.1"),
    ("ModuleNotFoundError: No module named 'encodings'", "PYTHONHOME"),
    ("ModuleNotFoundError: No module named 'imp'", "too old for this Python"),
    ("AttributeError: module 'pkgutil' has no attribute 'ImpImporter'. Did you mean", "too old for this Python"),
    ("ImportError: cannot import name 'Iterable' from 'collections' (/lib/a.py)", "too old for this Python"),
    ("ModuleNotFoundError: No module named 'torchao.prototype.low_bit_optim'", "adamw8bitkahan"),
    ("ModuleNotFoundError: No module named 'utils.patches'", "pip uninstall utils"),
    ("ModuleNotFoundError: No module named 'mpi4py'", "launcher"),
    ("ImportError: cannot import name 'log' from 'torch.distributed.elastic.agent.server.api'", "DeepSpeed"),
    ("AttributeError: partially initialized module 'torch' has no attribute 'Tensor' (most likely", "torch.py"),
    ("OMP: Error #15: Initializing libiomp5.so, but found libgomp.so.1 already initialized.", "OpenMP"),
    ("libgomp: Thread creation failed: Resource temporarily unavailable", "TasksMax"),
    ("RuntimeError: FlashAttention: CUDA error (/csrc/flash_attn/a.h:1): no kernel image is available", "`flash_attn`"),
    ("RuntimeError: DataLoader worker (pid 7) is killed by signal: Segmentation fault.", "native code"),
    ("KeyError: '7f8a3c0d2b90'", "worker process"),
    ("UnicodeEncodeError: 'ascii' codec can't encode characters in position 0-3", "LANG=C.UTF-8"),
    ("UnicodeEncodeError: 'utf-8' codec can't encode character '\\udce9': surrogates not allowed", "rename"),
    ("OSError: AF_UNIX path too long", "TMPDIR"),
    ("OSError: [Errno 27] File too large", "FAT32"),
    ("OSError: [Errno 40] Too many levels of symbolic links: '/d/a'", "symbolic link"),
    ("OSError: [Errno 39] Directory not empty: '/o/run/tmp'", ".nfs"),
    ("OSError: [Errno 117] Structure needs cleaning: '/d/a.png'", "dmesg"),
    ("av.error.DecoderNotFoundError: [Errno 1128613112] Decoder not found: '/d/a.mp4'", "libx264"),
    ("ValueError: Blockwise 4bit quantization only supports 16/32-bit floats, but got torch.uint8", "quantised"),
    (
        "ValueError: Cannot load x because y expected shape torch.Size([3072, 64]), but got torch.Size([1])",
        "another size",
    ),
    ("ValueError: Unrecognized configuration class <class 'Qwen2_5_VLConfig'> for this kind", "text encoder"),
    ("ValueError: parameter loc to satisfy the constraint Real(), but found invalid values", "float16 overflows"),
    ("TypeError: AdamMini.__init__() missing 1 required positional argument: 'model'", "cannot use this optimizer"),
    ("ValueError: [-] learning_rate -1e-05 must be non-negative", "`learning_rate`"),
    ("RuntimeError: `fused=True` requires all the params to be floating point Tensors", "remove `fused`"),
    ("TypeError: Object of type datetime is not JSON serializable", "in quotes"),
    ("/usr/bin/env: 'bash\\r': No such file or directory", "line ends"),
    ("httpx.RemoteProtocolError: peer closed connection without sending complete message body", "network"),
    ("NCCL error: Failed to bind NVLink SHARP (NVLS) Multicast memory of size 2097152", "NCCL_NVLS_ENABLE=0"),
    ("NCCL error: connect to fe80::1%docker0<45123> returned No route to host", "NCCL_SOCKET_IFNAME"),
    ("NCCL error: network AWS Libfabric not found.", "NCCL_NET_PLUGIN"),
    ("RuntimeError: Invalid magic number; corrupt file?", "download it again"),
]


@pytest.mark.parametrize(("text", "word"), ENDINGS)
def test_remedy_contains_the_expected_advice(text: str, word: str):
    remedy = hint_for(text)
    assert remedy != GENERIC
    assert word in remedy.text


@pytest.mark.parametrize(
    "text", ["KeyError: '" + "a." * 240, "flash_attn " * 45, "{}", "module 'x' has no attribute '{0}'"]
)
def test_any_text_gets_a_remedy(text: str):
    assert hint_for(text)


HEADER = "safetensors_rust.SafetensorError: Error while deserializing header: "
READ_ONLY = "OSError: [Errno 30] Read-only file system: '/d/x{}'"
CUT_OFF = "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory"
INVALID = "RuntimeError: CUDA error: invalid argument"
TOKENIZER = '  File "/v/transformers/tokenization_utils_fast.py", line 9, in _encode_plus'
GENERIC_OPTIM = '  File "/t/optimizers/generic_optim.py", line 9, in check_params'
QUOTED = "TypeError: '<=' not supported between instances of 'float' and 'str'"
KEYWORD = "TypeError: Thing.__init__() got an unexpected keyword argument 'x'"
NO_DEFAULT = "AttributeError: 'str' object has no attribute 'setdefault'"
NO_ATTRIBUTE = "AttributeError: 'AModel' object has no attribute 'conv1'"
LOAD = "    set_module_tensor_to_device({}, device='cpu', dtype=dtype, value=tensor)"
NO_KERNEL = "RuntimeError: CUDA error: no kernel image is available for execution on the device"


@pytest.mark.parametrize(
    ("text", "frame", "word"),
    [
        (READ_ONLY.format(""), "    os.makedirs(run_dir, exist_ok=True)", "most often output_dir"),
        (READ_ONLY.format(""), '  File "/w/utils/saver.py", line 9, in save_adapter', "most often output_dir"),
        (READ_ONLY.format(""), '  File "/w/utils/dataset.py", line 226, in __init__', "dataset"),
        (READ_ONLY.format("/cache/flux"), "    os.makedirs(self.cache_dir)", "dataset"),
        (READ_ONLY.format("/huggingface/hub/a"), "    path.mkdir()", "HF_HOME"),
        (READ_ONLY.format("/hub/photos/cache"), "    os.makedirs(self.cache_dir)", "dataset"),
        (READ_ONLY.format("/.triton/cache/a"), "    os.makedirs(path)", "TRITON_CACHE_DIR"),
        (READ_ONLY.format(""), "    os.makedirs(path)", "set another path"),
        ("RuntimeError: stack expects each tensor to be equal size", "in _collate", "regenerate_cache"),
        ("RuntimeError: stack expects each tensor to be equal size", "x, in latents_map_fn", "caching_batch_size"),
        (NO_KERNEL, '  File "/v/flash_attn/flash_attn_interface.py", line 9, in f', "`flash_attn` has no code"),
        (NO_KERNEL, '  File "/v/torch/nn/modules/conv.py", line 9, in f', "install a PyTorch"),
        (
            HEADER + "HeaderTooLarge",
            "    vae = load_vae(self.model_config['vae_path'])",
            "`[model].vae_path` is no saf",
        ),
        (
            HEADER + "MetadataIncompleteBuffer",
            "    a(self.model_config['transformer_path'])",
            "`[model].transformer_path`",
        ),
        (HEADER + "InvalidHeader", "    a(self.model_config['dtype'])", "a file of weights"),
        (CUT_OFF, '  File "/v/deepspeed/runtime/engine.py", line 9, in load_checkpoint', "from an earlier one"),
        (CUT_OFF, '  File "/v/deepspeed/checkpoint_engine.py", line 37, in load', "from an earlier one"),
        ("NotImplementedError: \"addmm_cuda\" not implemented for 'Float8_e4m3fn'", "x, in _handle_task", "only as"),
        (CUT_OFF, '  File "/t/utils/cache.py", line 41, in __getitem__', "delete the directory `cache`"),
        (CUT_OFF, '  File "/t/models/wan/wan.py", line 41, in __init__', "download it again"),
        ("EOFError: Ran out of input", '  File "/t/utils/cache.py", line 41, in __getitem__', "directory `cache`"),
        (INVALID, '  File "/t/utils/offloading.py", line 119, in weights_to_device', "lower blocks_to_swap"),
        (INVALID, '  File "/v/torch/nn/modules/linear.py", line 125, in forward', "grep Xid"),
        ("PermissionError: [Errno 13] Permission denied: '/root/.triton/cache/a'", "    x()", "TRITON_CACHE_DIR"),
        ("PermissionError: [Errno 13] Permission denied: '/root/.cache/huggingface/a'", "    x()", "HF_HOME"),
        ("PermissionError: [Errno 13] Permission denied: '/data/out/epoch1'", "    x()", "give the user"),
        (
            "PermissionError: [Errno 13] Permission denied: '/no'",
            '  File "/v/triton/runtime/cache.py", line 9, in f',
            "TRITON",
        ),
        (
            "PermissionError: [Errno 13] Permission denied: '/h'",
            '  File "/v/huggingface_hub/a.py", line 9, in f',
            "HF_HOME",
        ),
        ("OSError: [Errno 8] Exec format error: '/v/ptxas'", "    x()", "another kind of processor"),
        ("OSError: [Errno 26] Text file busy: '/h/.triton/cache/a.so'", "    x()", "TRITON_CACHE_DIR"),
        ("NotImplementedError", '  File "/t/models/sd3.py", line 38, in __init__', "set diffusers_path"),
        ("NotImplementedError", '  File "/t/models/sd3.py", line 67, in save_model', "of type lora"),
        ("KeyError: 'Key not found in diffusers_to_bfl_map: x'", "  x, in save_model", "of type lora"),
        ("AssertionError", '    assert self.text_projection_type == "dual_linear"', "LTX 2.3 only"),
        ("NotImplementedError", '  File "/t/models/z_image.py", line 70, in prepare_inputs', "timestep_sample_method"),
        ("TypeError: string indices must be integers", '  File "/t/utils/dataset.py", line 9, in f', "[[directory]]"),
        (NO_DEFAULT, '  File "/t/utils/dataset.py", line 9, in _set_defaults', "[[directory]]"),
        ("AssertionError", "    assert len(vae_sd) > 0", "complete checkpoint"),
        (NO_ATTRIBUTE, LOAD.format("vae, key"), "the file of the VAE"),
        ("ValueError: AutoencoderKLQwenImage(", LOAD.format("vae, key"), "the file of the VAE"),
        (NO_ATTRIBUTE, LOAD.format("transformer, key"), "the file of the transformer"),
        ("KeyError: 'model.embed_tokens.weight'", LOAD.format("self.text_encoder, name"), "the file of a text encoder"),
        ("KeyError: 'blocks.0.q.weight'", LOAD.format("transformer, name"), "incomplete"),
        ("AssertionError", "    assert pooled is None", "text encoder"),
        ("KeyError: 'model_type'", "    model_type = self.json_config['model_type']", "no `-Diffusers`"),
        ("RecursionError: maximum recursion depth exceeded", '  File "/t/m.py", line 9, in __getattr__', "git pull"),
        ("AssertionError", "    assert control_latents.shape == latents.shape, (a, b)", "control image"),
        ("AssertionError", "    assert self.support_video", "remove the videos"),
        ("AssertionError", "    assert 'save_every_n_epochs' in config or 'save_every_n_steps'", "save_every_n_steps"),
        ("AssertionError", "    assert captions_json.exists()", "online_captions"),
        ("AssertionError", "    assert a.shape == audio_shape", "micro_batch_size_per_gpu = 1"),
        ("AssertionError", "    assert (mod_segments == first_mod_seqments).all()", "micro_batch_size_per_gpu = 1"),
        ("KeyError: 'Missing key: `module` in the checkpoint: /m/a.pt.'", "    x()", "set transformer_path"),
        ("IndexError: list index out of range", "    caption = self.captions_dict[key][0]", "captions.json must be"),
        (
            "AttributeError: 'list' object has no attribute 'get'",
            "    a = caption_data.get(b, None)",
            "captions.json must",
        ),
        ("NotADirectoryError: [Errno 20] Not a directory: '/o/1'", "    os.makedirs(run_dir)", "output_dir must name"),
        ("NotADirectoryError: [Errno 20] Not a directory: '/d/cache/flux'", "    os.mkdir(a)", "named `cache`"),
        ("TypeError: TextEncodeInput must be Union[TextInputSequence, Tuple]", TOKENIZER, "captions.json must"),
        (
            "AttributeError: 'int' object has no attribute 'split'",
            "    a = caption.split(delimiter)",
            "captions.json must",
        ),
        ("KeyError: 'is_video'", "    queue.put((1, example['is_video'], pipe))", "regenerate_cache"),
        ("json.decoder.JSONDecodeError: Expecting value", "  x, in check_grouped_metadata", "directory `cache`"),
        ("AssertionError: rank set but x is not set!", GENERIC_OPTIM, "update_proj_gap"),
        ("torch._dynamo.exc.FailOnRecompileLimitHit: recompile_limit", GENERIC_OPTIM, "set them to false"),
        ("AssertionError", "    assert len(res) == 2", "[width, height]"),
        (QUOTED, '  File "/t/train.py", line 822, in get_optimizer', "without quotes"),
        (
            "RuntimeError: The size of tensor a (64) must match the size of tensor b (4)",
            "    loss *= mask",
            "mask_path",
        ),
        ("ValueError: not enough values to unpack (expected 3, got 2)", "  x, in get_optimizer", "list of 3 numbers"),
        ("AssertionError", "    assert len(betas) == 2", "two numbers"),
        ("IndexError: list index out of range", '  File "/v/toml/decoder.py", line 9, in load_array', "brackets"),
        ("IndexError: list index out of range", '  File "/v/a.py", line 9, in _get_cuda_arch_flags', "sees none"),
        (KEYWORD, '  File "/t/train.py", line 822, in get_optimizer', "remove `x` from [optimizer]"),
        (KEYWORD, '  File "/t/models/qwen_image.py", line 99, in __init__', "git pull"),
    ],
)
def test_what_the_trainer_did_determines_the_remedy(text: str, frame: str, word: str):
    assert word in hint_for(text, [frame]).text


@pytest.mark.parametrize(
    ("warning", "word"),
    [
        ("RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch", "CUDA 12.8"),
        ("Found GPU0 GTX 1080 which is of cuda capability 6.1.", "(sm_61) is too old"),
        ("RTX 4090 with CUDA capability sm_89 is not compatible with the current PyTorch", "built for this GPU"),
        ("", "built for this GPU"),
    ],
)
def test_warning_about_the_gpu_determines_the_needed_pytorch(warning: str, word: str):
    assert word in hint_for(NO_KERNEL, output=[warning, "caching latents: (1.0, 512, 512, 1)"]).text


COMFY = '  File "/t/models/../submodules/ComfyUI/comfy/sd.py", line 9, in load_clip'
TRAINER = '  File "/t/models/wan/wan.py", line 9, in __init__'
STARTED = '  File "/t/train.py", line 9, in <module>'


@pytest.mark.parametrize(
    ("frames", "word"),
    [
        (['  File "/v/wandb/sdk/wandb_login.py", line 9, in login', "    raise X"], "enable_wandb = false"),
        ([COMFY, "    x = y"], "submodule ComfyUI"),
        ([COMFY, "    x = y", '  File "/v/lib/site-packages/torch/a.py", line 1, in f', "    z"], "submodule ComfyUI"),
        ([TRAINER, "    from peft import x", '  File "/v/site-packages/peft/a.py", line 1, in <module>'], "`peft`"),
        (['  File "/t/train.py", line 1, in <module>', "    from models import wan", TRAINER, "    x"], "[model]"),
        ([COMFY, "    x", '  File "/v/site-packages/PIL/Image.py", line 1, in open', "    z"], "media file"),
        (['  File "/t/train.py", line 9, in get_optimizer', "    return klass(groups)"], "[optimizer]"),
        (['  File "/v/deepspeed/runtime/engine.py", line 9, in load_checkpoint'], "from an earlier one"),
        (['  File "/t/models/wan/wan.py", line 9, in prepare_inputs'], "regenerate_cache"),
        (
            [COMFY, "    x = y", '  File "/v/site-packages/transformers/a.py", line 1, in f', "    z"],
            "submodule ComfyUI",
        ),
    ],
)
def test_unknown_error_gets_the_advice_for_its_place(frames: list[str], word: str):
    assert word in hint_for("RuntimeError: unknown", frames).text


PACKAGE = '  File "/v/site-packages/deepspeed/runtime/engine.py", line 9, in backward'
POOL = '  File "/v/site-packages/multiprocess/pool.py", line 9, in get'
OF_OPTIMIZER = "    released = config['optimizer'].get('gradient_release', False)"
OF_ADAPTER = "    adapter_type = adapter_config['type']"
TORCH = '  File "/v/site-packages/torch/nn/modules/module.py", line 9, in __getattr__'


@pytest.mark.parametrize(
    ("text", "frames", "word"),
    [
        ("AssertionError: loss must be a scalar tensor", [STARTED, "    x", PACKAGE, "    y"], "`deepspeed`"),
        ("TypeError: unhashable type", [STARTED, "    x", PACKAGE, "    y", TORCH, "    z"], "`deepspeed`"),
        ("TypeError: argument of type 'NoneType' is not iterable", [TRAINER, "    x", PACKAGE, "    y"], "`deepspeed`"),
        (
            "AttributeError: 'str' object has no attribute 'get'",
            [STARTED, OF_OPTIMIZER],
            "`[optimizer]` must be a table",
        ),
        ("TypeError: list indices must be integers", [STARTED, OF_ADAPTER], "`[adapter]` must be a table"),
        ("TypeError: '>' not supported between 'str' and 'int'", [STARTED, OF_OPTIMIZER], "the wrong type or form"),
        ("AssertionError: x", [STARTED, "    x", POOL, "    y"], "which condition failed"),
        ("BrokenPipeError: [Errno 32] Broken pipe", [STARTED, "    x", POOL, "    y"], "a worker process ended"),
        ("BrokenPipeError: [Errno 32] Broken pipe", [STARTED, "    x"], GENERIC.text),
        ("AssertionError: x", [PACKAGE, "    x", STARTED, "    y"], "which condition failed"),
        (
            "AttributeError: 'FluxModel' object has no attribute 'x'",
            [STARTED, "    x", TORCH, "    y"],
            "git submodule",
        ),
        ("AttributeError: 'NoneType' object has no attribute 'x'", [STARTED, "    x"], GENERIC.text),
        ("RuntimeError: unknown", [STARTED, "    x", PACKAGE, "    y"], GENERIC.text),
    ],
)
def test_package_in_which_an_error_arose_determines_the_remedy(text: str, frames: list[str], word: str):
    assert word in hint_for(text, frames).text


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("/tmp/a/main.c:5:10: fatal error: Python.h: No such file or directory", "python3-dev"),
        ("/t/a.cpp:1:10: fatal error: cuda_runtime.h: No such file or directory", "CUDA toolkit"),
        ("/usr/bin/ld: cannot find -lcuda: No such file or directory", "ldconfig"),
    ],
)
def test_messages_of_a_compiler_determine_what_to_install(said: str, word: str):
    failed = "CalledProcessError: Command '['/usr/bin/gcc', '/tmp/a/main.c', '-o', '/tmp/a/cuda_utils.so']' returned 1"
    assert word in hint_for(failed, output=[said, "compilation terminated."]).text


def test_text_encoder_of_unknown_size_needs_a_newer_comfyui():
    text, details = (
        "RuntimeError: Error(s) in loading state_dict for Qwen3_4B:",
        ["\tsize mismatch for a.weight: copying"],
    )
    assert "git submodule update" in hint_for(text, [COMFY, "    x"], details).text
    assert "text encoder" in hint_for(text, [TRAINER, "    x"], details).text


@pytest.mark.parametrize(
    "text",
    [
        "TypeError: randn_like(): argument 'input' (position 1) must be Tensor, not NoneType",
        "AttributeError: 'NoneType' object has no attribute 'shape'",
    ],
)
def test_batch_without_what_the_model_needs_gets_advice_about_the_dataset(text: str):
    assert "sound" in hint_for(text, ['  File "/t/models/minimax_h3.py", line 9, in prepare_inputs', "    x"]).text


def test_place_of_an_error_of_the_system_does_not_tell_its_cause():
    assert hint_for("OSError: [Errno 71] Protocol error", [TRAINER, "    open(path)"]) == GENERIC


def test_place_in_the_code_of_others_says_more_than_the_class_of_an_error():
    assert "submodule ComfyUI" in hint_for("KeyError: 'x'", [COMFY, "    a['x']"]).text
    assert "lacks the key `x`" in hint_for("KeyError: 'x'", [STARTED, "    a['x']"]).text
    assert "a file in [model]" in hint_for("KeyError: 'x'", [TRAINER, "    a['x']"]).text
    assert "`[model].x` is missing" in hint_for("KeyError: 'x'", [TRAINER, "    self.model_config['x']"]).text


def test_condition_of_an_assertion_is_read_from_the_traceback():
    lines = ['  File "/t/utils/dataset.py", line 100, in _map_and_cache', "    assert cache_size <= dataset_size"]
    assert "regenerate_cache" in hint_for("AssertionError", lines).text


def test_rank_of_an_adapter_is_read_from_the_lines_after_the_exception():
    details = ["\tsize mismatch for a.lora_A.default.weight: copying a param with shape torch.Size([16, 8]) from"]
    remedy = hint_for("RuntimeError: Error(s) in loading state_dict for WanModel:", details=details)
    assert "set `rank` in [adapter] to 16" in remedy.text


@pytest.mark.parametrize("text", ["NotImplementedError: No operator found for `an_operator`"])
def test_error_of_a_library_does_not_get_the_advice_for_the_trainer(text: str):
    assert hint_for(text) == GENERIC
