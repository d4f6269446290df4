"""Hints for known errors of trainers."""

import re
from collections.abc import Sequence
from itertools import pairwise, takewhile

from api.domain.reason import Reason
from api.trainers.protocol.error_lines import LINE_LIMIT
from api.trainers.protocol.phrases import RESUMING

#: Errors of a file that does not begin like a safetensors file.
_NO_HEADER = r"HeaderTooLarge|InvalidHeader(?!Error)|header: (?:header too large|invalid [\w-]{1,20}(?: in)? header)"

#: Errors of a file of weights that ends too early.
_DAMAGED = (
    r"Unable to load weights from|MetadataIncompleteBuffer|deserializing header|PytorchStreamReader failed"
    r"|Invalid magic number; corrupt|model you are trying to load is corrupted"
    r"|SafetensorError(?!: (?:Error while serializing|device|Dtype|File does not contain))"
)

#: The path of a file that the trainer writes into the cache of a dataset.
CACHE_FILE = r"'[^']*/cache/[^']*(?:/metadata/|\.arrow|shard_\d+\.bin|grouping_keys\.json|metadata\.db)[^']*'"

#: Errors of a file of torch.save that is not complete.
_CUT_OFF = r"PytorchStreamReader failed|UnpicklingError(?!: Weights only)|EOFError: Ran out of input|unexpected EOF"

#: Errors of a PyTorch without code for the GPU.
_NO_KERNELS = (
    r"no kernel image is available|STATUS_ARCH_MISMATCH|invalid device function|kernel image is invalid"
    r"|for --gpu-architecture|TensileLibrary|too many resources requested for launch"
)

#: The command that brings the trainer's packages to versions that fit together.
_UPGRADE = "`pip install --upgrade -r requirements.txt 'diffusers<0.39'` (qwen_image fails with newer ones)"

#: Pattern of an exception line, code, and hint. The first match applies; its first group replaces `{what}`.
HINTS = tuple(
    (re.compile(pattern), code, hint)
    for pattern, code, hint in (
        # -- the installation
        (
            r"Illegal header value b?'Bearer|return character\(s\) in header value",
            "token_broken",
            (
                "the access token has a space or a line break in it: set HF_TOKEN in `env` again without it, or remove "
                "the file ~/.cache/huggingface/token"
            ),
        ),
        (
            (
                r"invalid device ordinal|No slot '\d+' specified on host|Invalid device id|device < num_gpus"
                r"|device cuda:\d+ is invalid|CUDA_VISIBLE_DEVICES is invalid|CUDA device \d+ but torch"
            ),
            "gpu_number",
            (
                "the process does not see a GPU of this number: compare the task's GPUs with `nvidia-smi`, check "
                "CUDA_VISIBLE_DEVICES of the service, and request fewer GPUs; a container needs access to all of "
                "them (--gpus all)"
            ),
        ),
        (
            r"\b802\b.*system not yet initialized|system not yet initialized",
            "fabric_manager",
            (
                "GPUs with NVSwitch need the NVIDIA Fabric Manager of the driver's version: start it (`systemctl "
                "start nvidia-fabricmanager`), then resume"
            ),
        ),
        (
            r"devices?(?:\(s\))? (?:is/)?are busy or unavailable",
            "gpu_busy",
            (
                "another process has the GPU for itself, or its compute mode forbids sharing: end that process, or "
                "set the mode with `nvidia-smi -c DEFAULT`"
            ),
        ),
        (
            r"\bMPS (?:client|server|control daemon)|\bcudaErrorMps",
            "mps",
            (
                "CUDA's Multi-Process Service does not answer: start its daemon again (`nvidia-cuda-mps-control -d`), "
                "or stop it and remove CUDA_MPS_PIPE_DIRECTORY from the service's environment"
            ),
        ),
        (
            r"CUDA error: named symbol not found|cudaGetDeviceCount.*Error 500\b",
            "driver_of_windows",
            (
                "the driver and its library do not match. Under WSL2 or Docker Desktop: update the NVIDIA driver of "
                "Windows, run `wsl --update` and `wsl --shutdown`, and update Docker Desktop; else restart the "
                "machine and the container"
            ),
        ),
        (
            (
                r"Found no NVIDIA driver|CUDA driver initialization failed|CUDA unknown error"
                r"|cuda\.is_available\(\) is False|only supported with GPUs, no GPUs"
                r"|lib(?:cuda|nvidia-ml)\.so[\d.]{0,5}: cannot open|NVML Shared Library Not Found"
                r"|NVMLError_Unknown|\bnvml\w{1,60}\(\) failed|initialize NVML|CUDA error: initialization error"
                r"|0 active drivers \("
                r"|Unexpected error from cudaGetDeviceCount(?!.*Error (?:80[234]|101)\b)"
            ),
            "driver_unusable",
            (
                "the process cannot use the NVIDIA driver: run `nvidia-smi` as the trainer's user; start a container "
                "with --gpus all; after a driver update, restart the machine and the container, and update the NVIDIA "
                "Container Toolkit"
            ),
        ),
        (
            r"libcuda\.so cannot found|cannot find -lcuda\b",
            "libcuda_unknown",
            (
                "Triton does not find the driver's libcuda.so: run `ldconfig`, or add its directory (under WSL2 "
                "/usr/lib/wsl/lib) to LD_LIBRARY_PATH of the service"
            ),
        ),
        (
            r"Could not load libtorchcodec",
            "torchcodec",
            "install FFmpeg on the system, and a torchcodec that matches the trainer's version of torch",
        ),
        (
            r"NVML_SUCCESS == .{0,60}INTERNAL ASSERT",
            "nvml_assert",
            (
                "the GPU's memory was most likely full, and PyTorch could not ask the driver for details: lower "
                "micro_batch_size_per_gpu or the resolutions, and end other programs on the GPU; if memory is free, "
                "run `nvidia-smi` as the trainer's user, and restart the machine or container after a driver update"
            ),
        ),
        (
            r"peer access is not supported|peer mapping resources exhausted",
            "no_peer_access",
            "these GPUs cannot exchange data directly: set NCCL_P2P_DISABLE=1 in `env`",
        ),
        (
            r"shared memory segment /dev/shm|/dev/shm/nccl",
            "nccl_shared_memory",
            "make /dev/shm larger (in a container: --shm-size or --ipc=host)",
        ),
        (
            r"NCCL error.*(?:[Cc]onnect to \S{1,80} (?:returned|failed)|No route to host|connection abort)",
            "nccl_no_route",
            (
                "NCCL cannot connect over the network interface that it chose (the error has the address; those of "
                "docker and VPNs often fail): set NCCL_SOCKET_IFNAME in `env`, to lo for GPUs of one machine, else to "
                "an interface that reaches the others (`ip -br addr`)"
            ),
        ),
        (
            r"Libfabric not found|NET/OFI|NET/Plugin|network \w{1,40} not found",
            "nccl_plugin",
            (
                "NCCL is told to use a network plugin that is not there: remove NCCL_NET and NCCL_NET_PLUGIN from the "
                "service's environment, or install the plugin"
            ),
        ),
        (
            r"\bNVLS\b|NVLink SHARP",
            "nccl_nvls",
            "NCCL cannot use NVLink SHARP on this system: set NCCL_NVLS_ENABLE=0 in `env`, or check the Fabric Manager",
        ),
        (
            r"[Nn]o socket interface found|Unable to find address for",
            "nccl_interface",
            "no network interface has the given name: correct or remove NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME",
        ),
        (
            r"(?i)TOMLDecodeError.{0,400}\((?:at )?(line \d+,? column \d+)",
            "toml",
            (
                "the TOML is wrong at {what}: write each key once, text and paths in single quotes ('C:\\data'), lists "
                "of one type in brackets ([512, 768]), numbers as 0.5 or 2e-5, true and false in lower case, [model] "
                "or [[directory]] alone in a line, and comments after #"
            ),
        ),
        (
            r"Using RTX 4000 series|NCCL_P2P_DISABLE",
            "boards_need_both",
            "set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1 in `env`: these GPUs need both",
        ),
        (
            (
                r"flash_attn.*(?:undefined symbol|DLL load failed)|DLL load failed.*flash_attn"
                r"|undefined symbol.*flash_attn|FLASH_ATTN_2_AVAILABLE|flash_attn_varlen_func"
                r"|FlashAttention2 has been toggled on|No module named 'flash_attn"
            ),
            "flash_attn",
            "reinstall flash-attn, built for the trainer's version of torch and this GPU",
        ),
        (
            (
                r"No available kernel|cutlassF: no kernel|USE_(?:FLASH|MEM_EFF)\w* was not enabled"
                r"|No viable backend for scaled_dot|(?i:(?:flash|efficient) attention (?:was|is) not (?:compiled"
                r"|available))"
            ),
            "no_attention_kernel",
            (
                "none of PyTorch's attention kernels accepts this GPU, data type or mask (warnings above the error "
                "name the reasons): set dtype = 'bfloat16' in [model] and [adapter], and install the newest PyTorch "
                "with CUDA that supports this GPU; flash attention needs an RTX 30, A100 or newer"
            ),
        ),
        (
            r"use_libuv was requested|\bLNK\d{4}\b|\[WinError \d+\]|DLL load failed",
            "windows",
            ("the trainer does not run on Windows: run it, with this service, on Linux, or on Windows in WSL2"),
        ),
        (
            r"(?i)flash_?attention only supports? fp16 and bf16|assert dtype in half_dtypes",
            "flash_attn_dtype",
            "FlashAttention needs 16 bits: set dtype = 'bfloat16' in [model]",
        ),
        (
            r"memory_efficient_attention|xFormers (?:wasn't|can't)|xformers::|\[xformers\]$",
            "xformers",
            (
                "xformers does not fit this GPU or torch: remove it from the trainer's environment (`pip uninstall "
                "xformers`), as the trainer works without it, or reinstall it for this torch"
            ),
        ),
        (
            r"is_sm80|head dim(?:ension)? (?:>|at most)",
            "head_size",
            (
                "this GPU cannot train with the attention of this model: install the newest PyTorch and flash-attn "
                "in the trainer's environment, or use an A100, H100 or newer"
            ),
        ),
        (
            r"FlashAttention only supports Ampere|flash_attn.*(?:sm_?\d\d|Ampere)",
            "flash_attn_gpu",
            (
                "FlashAttention needs an Ampere GPU (RTX 30, A100) or newer: use such a GPU, or a model type without "
                "it, such as flux, sdxl, qwen_image or z_image"
            ),
        ),
        (
            (
                r"\b803\b.*driver|unsupported display driver|forward compatibility was attempted"
                r"|[Dd]river/library version mismatch"
            ),
            "driver_mismatch",
            (
                "the NVIDIA driver and the CUDA library do not match: restart the machine after a driver update; in a "
                "container, remove the directory cuda/compat from LD_LIBRARY_PATH"
            ),
        ),
        (
            r"CUDA error: unknown error",
            "driver_failed",
            (
                "the NVIDIA driver failed, as it may after sleep or an update: restart the machine (under WSL2: `wsl "
                "--shutdown`), update the driver, then resume"
            ),
        ),
        (
            r"Duplicate GPU detected",
            "duplicate_gpu",
            "two ranks use the same GPU: check CUDA_VISIBLE_DEVICES of the service, which must list each GPU once",
        ),
        (
            (
                r"CU(?:BLAS|SOLVER|SPARSE)_STATUS_(?!ARCH|NOT_SUPPORTED|INVALID_VALUE)"
                r"|CUDNN_STATUS_(?!\w*VERSION_MISMATCH)|cudnn_frontend|valid cuDNN algorithm"
                r"|unable to find an engine to execute"
            ),
            "gpu_memory_or_cudnn",
            (
                "most often the GPU's memory is full: end other programs on it (see `nvidia-smi`), or lower "
                "micro_batch_size_per_gpu or the resolutions; if memory is free, reinstall torch with its nvidia "
                "packages"
            ),
        ),
        (
            r"version [`'](?:GLIBC(?:XX)?|CXXABI)_[\d.]+' not found",
            "newer_system",
            (
                "a package was built for a newer Linux: install a build for this system, build it from source, or "
                "use a newer system or container"
            ),
        ),
        (
            (
                r"numpy\.core\.multiarray failed|expected np\.ndarray \(got numpy|numpy\.\w+ size changed"
                r"|Numpy is not available|compiled using NumPy 1"
                r"|_ARRAY_API|module 'numpy' has no attribute|removed in the NumPy 2"
            ),
            "numpy_version",
            (
                "a package was built for another version of numpy: install numpy below 2, or upgrade that package, "
                "in the trainer's environment"
            ),
        ),
        (
            r"torchvision::|custom C\+\+ ops|torchaudio.*undefined symbol|partially initialized module 'torchvision'",
            "torch_family",
            (
                "torch, torchvision and torchaudio do not belong together: install all three in one command, for the "
                "same CUDA, in the trainer's environment"
            ),
        ),
        (
            r"No module named '(?:pkg_resources|distutils)'",
            "setuptools",
            "install setuptools below 81 in the trainer's environment",
        ),
        (
            r"No module named 'triton\.ops'",
            "bitsandbytes_too_old",
            "bitsandbytes is older than this Triton: install its newest version in the trainer's environment",
        ),
        (
            r"normal functioning of this module, but found (\S{1,80}?)\.?(?:\s|$)",
            "required_version",
            (
                "{what} does not fit the other packages: install the version that the error names in the trainer's "
                "environment"
            ),
        ),
        (
            (
                r"does not recognize this architecture|Tokenizer class \w+ does not exist|untagged enum \w+"
                r"|KeyError: '(?:qwen|gemma|llama|mistral|ministral)\w*'"
            ),
            "transformers_too_old",
            (
                "transformers or tokenizers is too old for this model: run `pip install --upgrade transformers "
                "tokenizers` with the trainer's Python"
            ),
        ),
        (
            r"Protobuf Gencode|Descriptors cannot be created directly|'runtime_version' from 'google\.protobuf",
            "protobuf_version",
            (
                "protobuf does not fit the packages that use it: run `pip install --upgrade protobuf tensorboard "
                "wandb` with the trainer's Python"
            ),
        ),
        (
            (
                r"(?i)sentencepiece|protobuf|ModelProto|instantiate the backend tokenizer|load vocabulary from file"
                r"|instantiate this tokenizer from a slow"
            ),
            "sentencepiece",
            (
                "install sentencepiece, tiktoken and protobuf in the trainer's environment; if they are there, "
                "download the model's tokenizer files again"
            ),
        ),
        (
            r"Failed to import (?:transformers|diffusers|peft)|Pydantic(?:Import|User)Error",
            "import_failed",
            (
                "the versions of the trainer's packages do not fit together (the lines around the error name one): "
                f"run {_UPGRADE} in the trainer's directory with its Python"
            ),
        ),
        (
            r"partially initialized module '(\w{1,60})' has no attribute",
            "hidden_module",
            (
                "a file named {what}.py hides the package `{what}`, or it is not installed completely: rename that "
                "file in the trainer's directory, or reinstall {what}"
            ),
        ),
        (
            r"from 'torch\.distributed\.elastic|backward\(\) .{0,80}\bengine\b",
            "deepspeed_version",
            (
                "this DeepSpeed fits neither the trainer nor this torch: run `pip install -r requirements.txt` in the "
                "trainer's directory with its Python, which installs the version that the trainer needs"
            ),
        ),
        (
            (
                r"module 'torch(?!\._C\b)[\w.]*' has no attribute|scaled_dot_product_attention\(\) got"
                r"|not implemented for 'BFloat16'"
            ),
            "torch_too_old",
            (
                "PyTorch does not fit the trainer or one of its packages, and is most often too old: install a newer "
                "one in the trainer's environment"
            ),
        ),
        (
            r"get_call_vae_fn.{0,40}\(\) (?:takes 1 positional|got multiple values for argument 'audio')",
            "no_control_images",
            (
                "this model type does not train with control images: remove control_path from the dataset, or train "
                "an editing model of type flux, flux2 or qwen_image"
            ),
        ),
        (
            (
                r"(?:(?<!__init__)|(?:Transformer\w*|Model|Block|Pipeline)\.__init__)\(\) got an unexpected keyword"
                r"|re-initialize CUDA in forked subprocess|got an unexpected keyword.*\[no optimizer\]$"
                r"|(?<!__init__)\(\) (?:takes \w+ positional|missing \d+ required)|cannot pickle '|Can't pickle"
                r"|^\[place: versions\]$|Target modules set\(\) not found|same device.*\[caching\]$"
                r"|Some tensors share memory|property '\w+' of '\w+' object has no setter|^RecursionError.*\[lookup\]$"
                r"|cannot import name '\w{1,80}' from '(?:utils|models|optimizers)\b"
            ),
            "versions_differ",
            (
                "the trainer, its submodules and its packages are of different ages: run `git pull`, `git submodule "
                f"update --init --recursive` and {_UPGRADE} in the trainer's directory with its Python"
            ),
        ),
        (
            r"Unknown scheme for proxy URL",
            "proxy_scheme",
            (
                "the proxy's address has a scheme that Python cannot use: set HTTPS_PROXY of the service to an "
                "http:// address, and remove ALL_PROXY"
            ),
        ),
        (
            r"No module named '(?:_(?:lzma|sqlite3|ctypes|bz2|ssl|socket|posixsubprocess|uuid)|encodings)'",
            "python_incomplete",
            (
                "this Python is incomplete, or PYTHONHOME points to another one: remove PYTHONHOME, and create the "
                "trainer's environment with a complete Python, such as that of uv or conda"
            ),
        ),
        (
            (
                r"No module named '(?:imp|asyncore|asynchat|smtpd|cgi|pipes|imghdr|telnetlib|crypt)'"
                r"|has no attribute '(?:ImpImporter|getargspec|coroutine|FileFinder\.find_module)'"
                r"|cannot import name '\w{1,60}' from 'collections'|module 'collections' has no attribute"
            ),
            "package_for_python",
            (
                "a package is too old for this Python: upgrade the package whose file the traceback's last lines name, "
                "and pip and setuptools (`pip install --upgrade pip setuptools`), or use Python 3.12"
            ),
        ),
        (
            r"(?i)(?:bf16|bfloat16)(?:/gpu)? is not supported|doesn't support bf16",
            "no_bf16",
            (
                "this GPU cannot compute in bfloat16: set dtype = 'float16' in [model] and [adapter], or use an "
                "RTX 30, A100 or newer"
            ),
        ),
        (
            r"fp8e4nv not supported|scaled_mm is only supported",
            "no_fp8",
            (
                "this GPU cannot compute in float8, which needs an RTX 40, L4, H100 or newer: set compile = false, "
                "or use bf16 weights"
            ),
        ),
        (
            r"requires? users to upgrade torch",
            "torch_26",
            "install PyTorch 2.6 or newer in the trainer's environment, or use the .safetensors version of the file",
        ),
        (
            r"Found modules on cpu/disk|modules are dispatched on the CPU",
            "does_not_fit_quantised",
            (
                "a quantised model does not fit into the GPU's memory: end other programs on that GPU, or use one "
                "with more memory"
            ),
        ),
        (
            r"the launch timed out and was terminated",
            "display_watchdog",
            (
                "the GPU also drives a display, which ended a long computation: train on a GPU without a display, "
                "or lower micro_batch_size_per_gpu"
            ),
        ),
        (
            r"(?i)CUDA.*\boperation not supported",
            "cuda_function",
            (
                "this system, such as WSL2 or a virtual GPU, lacks a function of CUDA: remove expandable_segments "
                "from PYTORCH_CUDA_ALLOC_CONF, and with several GPUs set NCCL_P2P_DISABLE=1"
            ),
        ),
        (
            r"\[merge conflict\]$",
            "merge_conflict",
            (
                "a file of the trainer has the marks of an unfinished merge: run `git status` in its directory, and "
                "`git checkout HEAD -- FILE` for the file that the lines above the error name"
            ),
        ),
        (
            (
                r"'autocommit' is an invalid keyword|cannot import name '\w{1,80}' from 'typing'"
                r"|SyntaxError: (?:invalid syntax|f-string)|unsupported operand type\(s\) for \|"
            ),
            "python_312",
            "the trainer needs Python 3.12 or newer: create its environment with it, and set DIFFUSION_PIPE_PYTHON",
        ),
        (
            r"torchao\.prototype\.low_bit_optim",
            "no_offload_optimizer",
            (
                "the installed torchao no longer has what the optimizer `offload` uses: set another type in "
                "[optimizer], such as adamw8bitkahan, or install an older torchao that has "
                "torchao.prototype.low_bit_optim"
            ),
        ),
        (
            (
                r"(?:No module named '(?=\w{1,60}\.)|cannot import name '[\w.]{1,80}' from '"
                r"|module '(?=[\w.]{1,200}' has no))"
                r"(?!(?:comfy(?!_kitchen|_aimdo)\w*|hyvideo|hyimage|hi_diffusers|ltx_video|lumina_2|cosmos1|omnigen2|flow|src|submodules"
                r"|utils|models|optimizers|pytorch_optimizer)\b|torch\._C' has)(\w{1,60})"
            ),
            "package_too_old",
            (
                f"the wrong version of `{{what}}` is installed for the code that uses it: run {_UPGRADE} in the "
                "trainer's directory with its Python; if {what} is not in that file, install its newest version"
            ),
        ),
        (
            (
                r"assert a\.shape\[0\] == 1|'bool' object has no attribute 'contiguous'"
                r"|module 'comfy(?!_kitchen|_aimdo)[\w.]*' has no attribute"
                r"|cannot import name '\w{1,80}' from '(?:comfy(?!_kitchen|_aimdo)\w*|submodules)\b"
            ),
            "comfy_mismatch",
            (
                "the submodule ComfyUI does not match the trainer: run `git pull` and then `git submodule update "
                "--init --recursive` in the trainer's directory"
            ),
        ),
        (
            (
                r"CUDA Setup failed|bitsandbytes.*(?:without|no) (?:GPU|CUDA) support|libbitsandbytes"
                r"|requires bitsandbytes|version of bitsandbytes|at line \d+ in file .{1,200}\.cu\b|str2optimizer"
                r"|cget_(?:managed_ptr|col_row)|native library method"
                r"|named symbol not found at line|cublasLt ran into an error"
            ),
            "bitsandbytes",
            (
                "install the newest bitsandbytes, in a build for the trainer's CUDA; or do without: use an optimizer "
                "without 8bit, and no llama3_4bit or text_encoder_nf4"
            ),
        ),
        (
            r"undefined symbol: iJIT_NotifyEvent",
            "mkl",
            (
                "torch does not fit this MKL: run `pip install 'mkl<2024.1'` (with conda, `conda install "
                "'mkl<2024.1'`) in the trainer's environment, or install torch with pip"
            ),
        ),
        (
            (
                r"/torch/lib/lib\w{1,40}\.so[\d.]{0,10}: undefined symbol|nvJitLink|libnvrtc-builtins|find nvrtc"
                r"|CUBLAS_STATUS_(?:NOT_SUPPORTED|INVALID_VALUE)|CUDNN_STATUS_\w*VERSION_MISMATCH"
                r"|cuDNN version incompatib|libcudnn.*\.so"
            ),
            "torch_libraries",
            (
                "libraries of CUDA, cuDNN or NCCL of different versions are mixed: remove their directories from "
                "LD_LIBRARY_PATH and LD_PRELOAD, or reinstall torch with its nvidia packages in the trainer's "
                "environment; if it recurs, update the driver"
            ),
        ),
        (
            r"^(?!.*/\.?triton/cache/).*undefined symbol|(?<![/\w])lib(?:c10|torch)\w{0,40}\.so: cannot open",
            "package_anew",
            (
                "reinstall the package named in the error or in the traceback's last lines, built for the trainer's "
                "version of torch"
            ),
        ),
        (
            (
                r"No module named '(?:comfy(?:_api|_execution|_extras)?|hyvideo|hyimage|ltx_video|cosmos1|hi_diffusers"
                r"|omnigen2|flow|lumina_2|models|src)\b"
            ),
            "submodules",
            "run `git submodule update --init --recursive` in the trainer's directory",
        ),
        (
            r"QwenEmbedRope.*multiple values for argument",
            "older_diffusers",
            "run `pip install 'diffusers<0.39'` with the trainer's Python: this trainer cannot use a newer one",
        ),
        (
            r"cannot allocate memory in static TLS",
            "static_tls",
            (
                "the libraries need more thread-local memory than the system reserves: set "
                "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 for the service"
            ),
        ),
        (
            (
                r"(?:/\.?triton/|torchinductor|torch_extensions|/tmp/).*(?:failed to map segment"
                r"|shared object file: (?:Operation not permitted|Permission denied))"
            ),
            "kernels_not_executable",
            (
                "compiled code lies on a disk that forbids execution (noexec): set TRITON_CACHE_DIR and "
                "TORCHINDUCTOR_CACHE_DIR in `env`, and TORCH_EXTENSIONS_DIR and TMPDIR of the service, to directories "
                "on a disk that allows it"
            ),
        ),
        (
            r"failed to map segment|shared object file: (?:Operation not permitted|Permission denied)",
            "library_not_executable",
            (
                "the library in the error lies on a disk that forbids execution (noexec), or the trainer's user must "
                "not read it: mount the disk without noexec, or move the trainer's environment to another one"
            ),
        ),
        (
            (
                r"(?:/\.?triton/|torchinductor|torch_extensions/).*(?:\.so: undefined symbol|cannot open shared"
                r"|file too short|invalid ELF)|\[Errno (?:26|39)\].*(?:/\.?triton/|torchinductor)"
            ),
            "kernels_incomplete",
            (
                "the cache of compiled code is incomplete: delete the directory that the error names, and start again; "
                "with several trainings on a network disk, set TRITON_CACHE_DIR in `env` to a local directory"
            ),
        ),
        (
            (
                r"Failed to find C compiler|Python\.h|_inductor.*Command '\['[^']*(?:gcc|clang|/cc)'"
                r"|Command '\['[^']*(?:gcc|clang|/cc)'(?!.*fatal error).*(?:-lcuda\b|cuda_utils|triton)"
            ),
            "c_compiler",
            "install a C compiler and Python's headers (gcc and python3-dev), or set compile = false",
        ),
        (
            r"\[no GPU to build for\]$",
            "arch_list",
            (
                "an extension is compiled for the GPUs that torch sees, and it sees none: run `nvidia-smi` as the "
                "trainer's user, and start a container with --gpus all; or set TORCH_CUDA_ARCH_LIST of the service to "
                "the GPU's compute capability, such as 8.9"
            ),
        ),
        (
            (
                r"Error building extension|MissingCUDAException|CUDA_HOME"
                r"|Unable to JIT load|fatal error: .*\.h: No such file|CUDAMismatchException|Ninja is required"
                r"|(?:FileNotFoundError|CalledProcessError).*'(?:/[^']{0,300}/)?(?:nvcc|ninja|gcc|cc|[gc]\+\+)'"
            ),
            "compiler",
            "install a compiler and the CUDA toolkit that matches PyTorch, and set CUDA_HOME for the service",
        ),
        (
            r"(?<![/\w.+-])(lib[\w+-]{1,60}\.so[\d.]{0,20}): cannot open shared object file",
            "library",
            (
                "the library {what} is missing: install the system's package that has it (libgl1 for libGL); if it "
                "belongs to CUDA, reinstall torch with its nvidia packages"
            ),
        ),
        (
            r"(?:ImportError|OSError): [^']{0,300}\.so[\w.]{0,40}: ",
            "library_unusable",
            (
                "a library of a package is missing or cannot be loaded: reinstall the package that the error names in "
                "the trainer's environment, in the version for this system and its version of torch"
            ),
        ),
        (
            rf"(?:{_NO_KERNELS}).*\[(sm_1[02]\d)\]$",
            "torch_for_blackwell",
            (
                "this GPU ({what}) needs PyTorch 2.7 or newer, built for CUDA 12.8 or newer (cu128): install it with "
                "its torchvision in the trainer's environment, and reinstall packages built for torch, such as "
                "flash-attn"
            ),
        ),
        (
            rf"(?:{_NO_KERNELS}).*\[(sm_[5-7]\d)\]$",
            "torch_for_old_gpu",
            (
                "this GPU ({what}) is too old for the installed PyTorch: install one that was built for CUDA 12.6 or "
                "older, or use a newer GPU"
            ),
        ),
        (
            rf"(?:{_NO_KERNELS}).*\[package: (.+)\]$",
            "package_for_gpu",
            "`{what}` has no code for this GPU: install a version of it that was built for this GPU and for this torch",
        ),
        (
            _NO_KERNELS,
            "torch_for_gpu",
            "install a PyTorch that was built for this GPU in the trainer's environment",
        ),
        (
            r"driver (?:version is insufficient|on your system is too old)|unsupported toolchain",
            "driver_or_torch",
            "update the NVIDIA driver, or install a PyTorch for an older CUDA",
        ),
        (
            r"Too many open files|\[Errno 24\]|received 0 items of ancdata",
            "open_files",
            "raise the limit of open files of the service (LimitNOFILE, ulimit -n)",
        ),
        (
            r"^OMP: Error #15|found libgomp\S{0,20} already initialized",
            "openmp_twice",
            (
                "two copies of OpenMP are loaded, most often as conda's numpy or mkl meets pip's torch: install numpy "
                "and torch both with pip in the trainer's environment, or set KMP_DUPLICATE_LIB_OK=TRUE for the service"
            ),
        ),
        (
            (
                r"can't start new thread|\[Errno 11\]|Resource temporarily unavailable|pthread_create failed"
                r"|Thread creation failed|unable to allocate necessary resources for OMP"
            ),
            "threads",
            (
                "raise the limit of processes of the service (TasksMax, ulimit -u, the container's pids limit), or "
                "lower map_num_proc"
            ),
        ),
        (
            r"expandable_segments",
            "expandable_segments",
            "remove expandable_segments from PYTORCH_CUDA_ALLOC_CONF in `env`: this PyTorch or system cannot use it",
        ),
        (
            (
                r"api_key not configured|wandb.*(?:log ?in|API key)|UsageError.*key|No API key"
                r"|API key (?:must (?:be|have)|verification|you provided)"
            ),
            "wandb_key",
            "set a valid wandb_api_key in [monitoring], or set enable_wandb = false",
        ),
        (
            r"wandb.*(?:timed out|CommError|ConnectionError)",
            "wandb_unreachable",
            (
                "Weights & Biases did not answer or denied access: check the network and the key's project, or set "
                "enable_wandb = false"
            ),
        ),
        (
            r"(?i)triton is not available|working triton installation|libtriton",
            "triton_missing",
            "install triton in the trainer's environment, or set compile = false",
        ),
        (
            r"PermissionError.*/(?:ptxas|cuobjdump|nvdisasm|nvcc|ninja|gcc|cc|[gc]\+\+)'|Exec format error",
            "program_not_executable",
            (
                "the program in the error cannot be executed: make it executable (`chmod +x`), or move it, with the "
                "trainer's environment, to a disk that allows execution (mounted without noexec); if it is for another "
                "kind of processor, reinstall its package"
            ),
        ),
        (
            r"(?i:ptxas)|PassManager::run failed",
            "triton_old",
            "this Triton does not know the GPU: install a newer PyTorch with its Triton, or set compile = false",
        ),
        (
            r"\[muon\]$",
            "muon_compiled",
            (
                "GenericOptim always compiles muon, adamuon and normuon, and this failed: set them to false in "
                "[optimizer], or install the newest PyTorch with its Triton"
            ),
        ),
        (
            (
                r"torch\._dynamo|torch\._inductor|(?:Dynamo|compile) is not supported on Python|BackendCompilerFailed"
                r"|triton\.(?:compiler|runtime)|triton GPU"
            ),
            "compile_off",
            "set compile = false",
        ),
        # -- files of models
        (
            r"\[cut off: checkpoint\]$",
            "checkpoint_damaged",
            (
                "the checkpoint is damaged, most often as the disk was full or the training was killed while it was "
                "written: resume from an earlier one"
            ),
        ),
        (
            r"ArrowInvalid: Could not convert .{1,100} with type numpy|cached in a LocalFileSystem is not supported",
            "datasets_versions",
            (
                "datasets, pyarrow, fsspec and numpy do not fit together: run `pip install --upgrade datasets pyarrow "
                "fsspec numpy` with the trainer's Python"
            ),
        ),
        (
            (
                r"file is not a database|database disk image is malformed|no such (?:table|column)"
                r"|Arrow(?:Invalid|TypeError)|\[cut off: cache\]$"
                rf"|/cache/.{{1,300}}is neither a `Dataset`|No such file.{{1,20}}{CACHE_FILE}"
            ),
            "cache_damaged",
            (
                "the cache of a dataset is damaged: delete the directory `cache` in the dataset's directory, and start "
                "the training again; regenerate_cache is not enough"
            ),
        ),
        (
            r"invalid load key, '[<{]'",
            "web_page",
            (
                "the file is a web page or an answer of a server instead of weights, as its download was refused: "
                "download it again, for example with `hf download`"
            ),
        ),
        (
            r"git-lfs|invalid load key, 'v'",
            "lfs_pointer",
            "the file is only a pointer of Git LFS: run `git lfs pull` in its directory, or download it again",
        ),
        (
            r"out of meta tensor|on the meta device|following keys are missing|device meta\b",
            "weights_missing",
            (
                "the model's files lack weights: check that all of its parts are there (model-00001-of-…, as its "
                "index lists them) and belong to its config.json, or download it again"
            ),
        ),
        (
            r"\.gguf\b",
            "no_gguf",
            "files in GGUF form cannot be trained: set the bf16 or fp8 .safetensors file of the model",
        ),
        (
            r"Dtype not understood|KeyError: '(?:F8|F4)_|unknown dtype",
            "safetensors_old",
            (
                "safetensors is too old for the data type of this file: run `pip install --upgrade safetensors` with "
                "the trainer's Python, or use the bf16 file"
            ),
        ),
        (
            r"CAS service|Data processing error|hf_xet",
            "hub_xet",
            (
                "a download by Xet failed: resume; if it recurs, set HF_HUB_DISABLE_XET=1 in `env`, or download the "
                "model with `hf download` and give its directory"
            ),
        ),
        (
            r"hf_transfer",
            "hf_transfer",
            "set HF_HUB_ENABLE_HF_TRANSFER=0 in `env`, or install hf_transfer in the trainer's environment",
        ),
        (
            r"Consistency check failed|416 Client Error",
            "download_cut",
            "a download was cut off: resume, or download the model with `hf download` and give its directory",
        ),
        (
            r"\[in the way\]$",
            "file_in_the_way",
            (
                "a file stands where the trainer creates the directory in the error: move it away; output_dir must "
                "name a directory, and a dataset's directory must have no file named `cache`"
            ),
        ),
        (
            r"NotADirectoryError",
            "directory_expected",
            (
                "a file is set where the trainer expects a directory: set the directory that holds all of the "
                "model's files (ckpt_path and diffusers_path are directories)"
            ),
        ),
        (
            r"(?:Weights only|UnpicklingError).*\[checkpoint\]$",
            "checkpoint_pickled",
            (
                "this torch refuses the checkpoint of another version of DeepSpeed: run `pip install -r "
                "requirements.txt` in the trainer's directory with its Python, or resume with the environment that "
                "wrote it"
            ),
        ),
        (
            r"JSONDecodeError",
            "json_damaged",
            (
                "a JSON file (config.json, an index of weights, captions.json) is empty or damaged: the traceback "
                "shows which; correct it, or download it again"
            ),
        ),
        (
            r"Pipeline .{1,200} expected \{",
            "pipeline_parts",
            (
                "the model's directory lacks a part (the error lists those expected and found): download all of "
                "its files"
            ),
        ),
        (
            r"429 Client Error|Too Many Requests",
            "hub_limit",
            (
                "the model hub limits requests: wait and resume, set HF_TOKEN in `env`, or download the model and "
                "give its directory"
            ),
        ),
        (
            rf"(?:{_NO_HEADER}).*\[weights: (.+)\]$",
            "no_safetensors_at",
            (
                "the file at `{what}` is no safetensors file, but most often a pointer of Git LFS or a web page (then "
                "it has a few hundred bytes or kilobytes: look with `ls -l` and `head -c 200`): fetch the real one "
                "with `git lfs pull` or `hf download`"
            ),
        ),
        (
            _NO_HEADER,
            "no_safetensors",
            (
                "a file of weights is no safetensors file, but most often a pointer of Git LFS or a web page (then it "
                "has a few hundred bytes or kilobytes: look with `ls -l` and `head -c 200`): fetch the real one with "
                "`git lfs pull` or `hf download`"
            ),
        ),
        (
            rf"(?:{_DAMAGED}).*\[weights: (.+)\]$",
            "file_damaged_at",
            "the file at `{what}` is damaged, or its download is incomplete: download it again, and compare its size",
        ),
        (
            rf"{_DAMAGED}|EOFError: Ran out of input|unexpected EOF",
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
            r"size mismatch for [\w.]{1,200}lora_A[\w.]{1,50}: copying a param with shape torch\.Size\(\[(\d{1,6})",
            "adapter_rank",
            "set `rank` in [adapter] to {what}, the rank of the adapter that is loaded",
        ),
        (
            r"(?:state_dict for .*size mismatch for|KeyError: ).*\[ComfyUI\]$",
            "unknown_to_comfy",
            (
                "the trainer's ComfyUI takes the file for one of another model or size, most often as it is too old to "
                "know it: run `git pull` and `git submodule update --init --recursive` in the trainer's directory; if "
                "it recurs, set the bf16 file that belongs to the model in [model]"
            ),
        ),
        (
            r"Trying to set a tensor of shape|expected shape torch\.Size\(.{1,80}but got",
            "other_size",
            (
                "the weights are of another size than the model's config.json: set a directory (ckpt_path or "
                "diffusers_path) and weights (transformer_path) of the same model and size"
            ),
        ),
        (
            r"mat1 and mat2 shapes",
            "other_encoder",
            (
                "a text encoder, or another file of [model], is of another model or variant: set the right one, and "
                "start the training again with regenerate_cache = true"
            ),
        ),
        (
            r"INT_MAX|int32_t>::max|integer out of range|invalid configuration argument",
            "too_large",
            (
                "a tensor is too large for an operation of the GPU: lower the resolutions, frame_buckets, "
                "caching_batch_size or micro_batch_size_per_gpu"
            ),
        ),
        (
            r"divisible by|% (?:self\.)?\w{0,40}patch_size",
            "indivisible",
            (
                "sizes do not divide into the model's patches: use resolutions or size_buckets of multiples of 32, "
                "and frame_buckets of 1, 5, 9 and so on (4n + 1; for ltx models 8n + 1), and start the training "
                "again with regenerate_cache = true"
            ),
        ),
        (
            r"size of tensor a.*\[mask\]$",
            "mask_of_loss",
            (
                "the masks do not fit this model type in this version of the trainer: update the trainer and start the "
                "training again with regenerate_cache = true, or remove mask_path and default_mask_file from the "
                "dataset"
            ),
        ),
        (
            (
                r"size of tensor a|Given normalized_shape|expected input\[.{1,80}channels|is invalid for input of size"
                r"|EinopsError|Sizes of tensors must match|Expected size for first two dimensions"
                r"|expanded size of the tensor|must have same number of dimensions"
            ),
            "sizes_differ",
            (
                "a VAE, a text encoder or another file of [model] is of another model, or the cache is of an earlier "
                "one: set the right file, and start the training again with regenerate_cache = true; if a resumed "
                "training failed, restore its earlier [adapter] and [optimizer]"
            ),
        ),
        (
            r"assert 'save_every_n_epochs' in config",
            "save_every",
            "set save_every_n_epochs, save_every_n_steps or save_every_n_examples in the configuration",
        ),
        (
            r"Unable to find latest file|load_path is not None",
            "no_checkpoint",
            (
                "this run has no checkpoint to resume, only saved models at most: start a new training, with "
                "init_from_existing to go on from a saved adapter; set checkpoint_every_n_minutes so that later runs "
                "have one"
            ),
        ),
        (
            r"parameter group that doesn't match|different number of parameter groups",
            "other_optimizer",
            (
                "the checkpoint was written with another adapter, optimizer, pipeline_stages, number of GPUs or "
                "learning rates: restore these settings, or resume with reset_optimizer"
            ),
        ),
        (
            (
                r"state_dict for (?:\w*(?:Transformer[23]D|WanModel|DiT\b|DIT\b|UNet|Transformer\b)\w*|(?:Flux|Chroma"
                r"|Qwen\w*Image)\w*)|\[other transformer\]$"
            ),
            "other_transformer",
            (
                "the file of the transformer is of another model, or has another form: set the right one "
                "(transformer_path, diffusion_model or checkpoint_path in [model], or the directory in ckpt_path or "
                "diffusers_path)"
            ),
        ),
        (
            r"state_dict for \w*(?:VAE|Autoencoder)\w*|\[other VAE\]$",
            "other_vae",
            (
                "the file of the VAE is of another model, or has another form: set the right one (vae_path or vae in "
                "[model], or the one in ckpt_path or diffusers_path)"
            ),
        ),
        (
            (
                r"state_dict for \w*(?:T5|Llama|Qwen|Gemma|CLIP|Mistral|Ministral|Bert|TextModel|TextEncoder)\w*"
                r"|\[other text encoder\]$|Unrecognized configuration class"
            ),
            "other_text_encoder",
            (
                "the file of a text encoder is of another model, or has another form: set the right one "
                "(text_encoders, text_encoder_path, llm_path, t5_path, clip_path or llama3_path in [model], or the "
                "one in ckpt_path)"
            ),
        ),
        (
            (
                r"Error\(s\) in loading state_dict|size mismatch for|Missing key\(s\)|Unexpected key\(s\)"
                r"|does not have a parameter or a buffer named"
            ),
            "other_model",
            (
                "a file of another model, or another version of it, is set in one "
                "of [model]'s paths: compare them with the trainer's documentation"
            ),
        ),
        (
            r"assert len\(vae_sd\) > 0",
            "no_vae_inside",
            (
                "the file in `[model].diffusion_model` has no VAE, as it holds the transformer only: set the complete "
                "checkpoint of the model"
            ),
        ),
        (
            r"Missing key: `",
            "other_checkpoint",
            (
                "the checkpoint that the error names lacks the weights that the trainer reads: download the official "
                "one again, or set transformer_path in [model] to a .safetensors file of the model"
            ),
        ),
        (
            (
                r"Cound not find safetensors|appear to be missing in the checkpoint|No model weights found"
                r"|Invalid model path|CORRUPTED MODEL|assert len\(missing_keys\) == 0"
                r"|File does not contain tensor|KeyError: '(?:[\w.]+\.)?(?:blocks|layers|double_blocks|single_blocks"
                r"|transformer_blocks)\.\d[\w.]*'|KeyError: '[\w.]+\.(?:weight|bias)'"
            ),
            "incomplete_weights",
            "the weights are incomplete or of another model: download all their files, or correct the path",
        ),
        (
            (
                r"fp8_scaled weights are not supported|'NoneType' object has no attribute 'Params'"
                r"|[Bb]lockwise (?:4bit )?quantization only supports"
            ),
            "bf16_or_plain_fp8",
            "the weights are already quantised: use the bf16 file, or a plain fp8 file without scales",
        ),
        (
            r"not implemented for 'Float8.*\[caching\]$",
            "float8_computed",
            (
                "VAE and text encoders cannot compute in float8: set dtype = 'bfloat16' in [model], use bf16 files for "
                "them, and set 'float8' only as transformer_dtype or diffusion_model_dtype"
            ),
        ),
        (
            (
                r"Promotion for Float8 Types|unsupported grad type"
                r"|not implemented for 'Float8(?!.*\[(?:block swap|caching)\]$)"
            ),
            "float8_trained",
            (
                "weights in float8 cannot be trained: if [adapter] has a `dtype` of float8, remove it; if there is no "
                "[adapter], add it, which trains beside them, or remove transformer_dtype (or diffusion_model_dtype)"
            ),
        ),
        (
            (
                r"should be the same$|Expected attn_mask dtype|(?:to|must) have the same dtype|expected scalar type"
                r"|unscale FP16|'Float8"
            ),
            "dtypes_differ",
            (
                "weights of different data types meet: set dtype = 'bfloat16' in [model] and [adapter], and use bf16 "
                "files; if it recurs, update the trainer and its submodules"
            ),
        ),
        (
            r"not implemented for 'Half'",
            "half_precision",
            "the CPU cannot compute in float16: set dtype = 'bfloat16' in [model]",
        ),
        (
            r"guidance distilled model",
            "distilled",
            (
                "the file set as `diffusion_model` is of a distilled model, which cannot be trained: set the base "
                "model's file"
            ),
        ),
        (
            r"full finetune a quantized|floating point and complex dtype can require",
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
            (
                r"key (?:\S{0,300}\.)?(?:lora_(?:unet|te\d?|transformer|up|down)[_.]|alpha |hada_w\d|dora_scale)"
                r"\S{0,300} ?is not in the model"
            ),
            "adapter_format",
            (
                "the adapter at init_from_existing is in another format, such as that of kohya's scripts: use one that "
                "this trainer saved for the same model, or convert it first (its keys need lora_A and lora_B)"
            ),
        ),
        (
            r"is not in the model parameters",
            "other_adapter",
            "init_from_existing names an adapter of another model or kind: use one of the same model and kind",
        ),
        (
            r"text_projection_type ==",
            "other_ltx",
            "`diffusion_model` is of another LTX, but the type ltx2 trains LTX 2.3 only: set the checkpoint of that",
        ),
        (
            r"VAE is invalid",
            "invalid_vae",
            "the file set as `vae` in [model] is not a VAE of this model: set the VAE file that belongs to it",
        ),
        (
            r"[Cc]ould not (?:auto)?detect (?:Flux2 )?model|Unknown Flux2 model",
            "undetected_model",
            (
                "the file in [model] is of a model that the trainer's ComfyUI does not know, or no model at all: "
                "compare it with the documentation, or update the trainer and its submodules"
            ),
        ),
        (
            (
                r"Missing text encoder path|need text encoder path|Unknown text encoder|assert pooled is None"
                r"|Unsupported text encoder type|does not have a function to call it"
            ),
            "text_encoder_path",
            (
                "set the text encoder that belongs to this model in [model], with its path and type as in the "
                "trainer's example for this model type; if they are right, update the trainer and its submodules"
            ),
        ),
        (
            r"Target module .{1,300} is not supported",
            "module_kind",
            "an adapter cannot train this kind of module: leave it out with exclude_modules in [adapter]",
        ),
        (
            r"All modules were excluded|Target modules .* not found",
            "nothing_excluded",
            "correct exclude_modules: it excludes everything from training",
        ),
        # -- settings
        (
            r"(?:No such file|unable to find).{0,200}[-_](?:model|optim)_states\.pt",
            "checkpoint_incomplete",
            (
                "the checkpoint is incomplete, or of another model or number of pipeline_stages: restore these "
                "settings, or resume from an earlier one"
            ),
        ),
        (
            (
                r"backward through the graph a second time|modified by an inplace operation|CheckpointError"
                r"|Recomputed values|in an in-place operation"
            ),
            "checkpointing",
            (
                "set compile = false; if it recurs, set the other kind of activation_checkpointing (true instead of "
                "'unsloth', or the reverse)"
            ),
        ),
        (
            r"activation_checkpointing=\S{1,60} is not implemented",
            "checkpointing_value",
            "set activation_checkpointing to true, false or 'unsloth'",
        ),
        (
            r"\[quoted number\]$",
            "quoted_number",
            ("a number is written as text: write it without quotes, such as lr = 2e-5 or blocks_to_swap = 20"),
        ),
        (
            r"values to unpack \(expected (\d).*\[betas\]$",
            "betas",
            ("set `betas` in [optimizer] to a list of {what} numbers, as this optimizer expects"),
        ),
        (
            r"assert len\(betas\) == 2",
            "two_betas",
            ("beta2_half_life needs `betas` with two numbers in [optimizer], such as [0.9, 0.99]"),
        ),
        (
            r"`?fused=True`? requires",
            "not_fused",
            ("remove `fused` from [optimizer]: the trained parameters are not all on a GPU, or not floating point"),
        ),
        (
            r"fast_hadamard_transform",
            "hadamard",
            (
                "this projection of GenericOptim needs a package: run `pip install "
                "git+https://github.com/Dao-AILab/fast-hadamard-transform` with the trainer's Python, or use another "
                "proj_type"
            ),
        ),
        (
            (
                r"(?:Invalid (?=(?:beta|epsilon|learning rate|weight_decay|momentum|lr)\b)"
                r"|\[-\] (?=\w+ .{1,60} must be ))(\w+)"
            ),
            "optimizer_value",
            "the optimizer rejects the value of `{what}`: correct it in [optimizer]",
        ),
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
            r"(?:Expected all tensors to be on the same device|assert q\.device\.type)(?!.*\[caching\]$)",
            "swap_for_eval",
            "set disable_block_swap_for_eval = true (or remove blocks_to_swap)",
        ),
        (r"KeyError: 'lr'", "lr_or_no_release", "remove gradient_release, or set `lr` in [optimizer]"),
        (
            (
                r"KeyError: '((?:nf4|bf16|fp16|fp32|fp8|half|int8|bnb|float|float8_e4m3)(?=')"
                r"|[^']{1,80}(?='.*\[data type\]$))"
            ),
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
            (
                r"missing \d+ required positional arguments?: '(?:model|base_optimizer|optimizer)'|NoClosureError"
                r"|requires closure|only supports 2D param|'ScheduleFree\w{0,40}' object has no attr"
            ),
            "optimizer_unfit",
            (
                "the trainer cannot use this optimizer, as it needs more than a list of parameters and a call for each "
                "step: set another type in [optimizer], such as adamw_optimi or Prodigy"
            ),
        ),
        (
            r"missing 1 required positional argument: 'lr'|missing \d+ required positional argument",
            "lr_needed",
            "set `lr` and all other required arguments of the optimizer in [optimizer]",
        ),
        (r"Unknown lr_scheduler", "lr_scheduler", "set lr_scheduler to 'constant', 'linear' or 'cosine'"),
        (r"video_clip_mode", "video_clip_mode", "set video_clip_mode to 'single_beginning' or 'single_middle'"),
        (
            r"\[dataset\]$|KeyError: 'directory'",
            "directory_tables",
            "write [[directory]] with double brackets before each directory of the dataset",
        ),
        (
            r"string indices must be integers",
            "eval_tables",
            "write each entry of eval_datasets as a table: name = '…', config = 'x.toml'",
        ),
        (
            (
                r"No backend type associated with device type cpu|Tensors must be CUDA and dense"
                r"|Could not send (?:meta )?type"
            ),
            "one_stage",
            (
                "this version of the trainer cannot send a tensor of this model between GPUs: set pipeline_stages = 1, "
                "or update the trainer"
            ),
        ),
        (
            r"[Mm]icro batch size per gpu|Gradient accumulation steps: |Check batch related|Train batch size: ",
            "batch_sizes",
            "set micro_batch_size_per_gpu and gradient_accumulation_steps to whole numbers of at least 1",
        ),
        (
            r"\[no run\]$",
            "no_run",
            "output_dir has no run that could be resumed: correct output_dir, or start a new training",
        ),
        (
            r"data parallel world size must be 1",
            "stages_or_no_release",
            "set pipeline_stages to the number of GPUs, or remove gradient_release",
        ),
        (
            r"must divide distributed world size",
            "gpus_and_stages",
            "request a number of GPUs that is a multiple of pipeline_stages, or change pipeline_stages",
        ),
        (r"CFG training requires", "no_cfg", "set pipeline_stages = 1, or remove `cfg`"),
        (r"partition_split must be", "partition_split", "give partition_split one entry less than pipeline_stages"),
        (
            r"does not require grad|None of the inputs have requires_grad|empty parameter list",
            "nothing_trained",
            "no parameter is trained: check exclude_modules and learning rates of 0",
        ),
        # -- the dataset
        (
            r"Invalid (path|mask_path|control_path|default_mask_file): ",
            "dataset_path",
            "correct `{what}` in the dataset: the directory or file does not exist",
        ),
        (
            r"argument #1 'indices' to have one of|non-empty TensorList",
            "empty_item",
            (
                "an item of the dataset has no caption or no frames: write a text for each item, and remove those "
                "without one and clips that are too short"
            ),
        ),
        (r"had no images/videos", "no_images", "set a directory with images or videos in the dataset"),
        (
            r"No control file exists",
            "control_images",
            "add a control image with the same name to control_path for each image",
        ),
        (
            r"control_latents\.shape == latents\.shape|Control (?:latents shape|image sequence)",
            "control_shapes",
            (
                "a control image has another size or aspect ratio than its image: make both alike, and start the "
                "training again with regenerate_cache = true"
            ),
        ),
        (
            r"assert not is_edit_dataset",
            "control_for_pictures",
            (
                "an item with a control image yields no pictures, as a clip that is too short does: use control images "
                "for pictures only"
            ),
        ),
        (
            r"shape is None or mask\.shape == shape",
            "mask_shapes",
            (
                "the masks of a batch have different sizes, most often as the cache is outdated: start the training "
                "again with regenerate_cache = true"
            ),
        ),
        (
            r"img_len == first_img_len|x\.shape\[0\] == 1|a\.shape == audio_shape|mod_segments == first_mod",
            "one_per_batch",
            (
                "this model cannot train this batch: set micro_batch_size_per_gpu = 1 (and raise "
                "gradient_accumulation_steps instead)"
            ),
        ),
        (
            r"[Nn]eed model framerate|assert (?:self\.framerate|self\.support_video|not any\(is_video\))",
            "images_only",
            "this model type trains on images only: remove the videos from the dataset",
        ),
        (
            r"assert captions_json\.exists",
            "captions_needed",
            "online_captions needs a file captions.json in each directory of the dataset: add it, or remove that key",
        ),
        (
            r"assert len\((?:ar|res)\) == 2",
            "pairs",
            "write each entry of ar_buckets and resolutions as a number, or as two: [width, height]",
        ),
        (
            r"KeyError: \"filename '.{1,300}' not found\"",
            "tar_changed",
            (
                "a .tar file of the dataset has changed since it was listed: delete the directory `cache` in the "
                "dataset's directory, and start the training again"
            ),
        ),
        (
            r"tarfile\.\w+Error",
            "tar",
            (
                "a .tar file of the dataset is damaged or compressed, but the trainer reads plain archives only: "
                "write it again with `tar -cf`, or unpack it"
            ),
        ),
        (
            r"conversion from \S+ to \S+ not supported|image has wrong mode|cannot write mode",
            "image_mode",
            (
                "an image has a colour mode that cannot be converted: save it as RGB (PNG or JPEG); validate the "
                "request again, which examines the images"
            ),
        ),
        (
            r"[Kk]ernel size can't be greater|(?i:output) size is too small|Padding size should be less",
            "too_small",
            (
                "an image or its bucket is too small for this model: raise the resolution, narrow min_ar and max_ar, "
                "or remove the smallest files"
            ),
        ),
        (
            r"No ffmpeg exe|Could not find a backend to open",
            "imageio",
            (
                'run `pip install "imageio[ffmpeg]" av` with the trainer\'s Python; if it recurs, convert the file of '
                "the dataset that the error names"
            ),
        ),
        (r"Mask shape", "masks", "give each mask the same size as its image"),
        (r"WebP videos", "webp", "convert the animated WebP files to videos or to single images"),
        (
            r"must contain lists of captions|\[captions\.json\]$",
            "captions_json",
            (
                'captions.json must be one object of file names and lists of captions ("a.png": ["a caption"]): '
                "correct it, and start the training again with regenerate_cache = true"
            ),
        ),
        (
            r"Decoder ?(?:Not|not) ?(?:Found|found)|codec (?:is )?not (?:currently )?supported",
            "video_codec",
            (
                "a video has a codec that the trainer's PyAV cannot decode: convert it (`ffmpeg -i in.mp4 -c:v libx264 "
                "out.mp4`), or reinstall `av` from PyPI with pip"
            ),
        ),
        (
            r"InvalidDataError|Invalid data found when processing input|pyav decode error|moov atom|av\.error\.",
            "damaged_video",
            (
                "a video is damaged or incomplete: the error names it, or validate the request again, which names "
                "such files; convert, replace or remove it"
            ),
        ),
        (
            r"\[incomplete item\]$",
            "incomplete_item",
            (
                "items of the dataset, or of its cache, lack what this model trains with, such as sound or a control "
                "image: update the trainer, which may accept them, and start the training again with regenerate_cache "
                "= true; if it recurs, add what is missing, or remove these items"
            ),
        ),
        (
            r"less frames \(|frames-start >= target_frames",
            "damaged_clip",
            (
                "a clip has fewer frames than its header states, as its frame rate varies or it is damaged: convert "
                "the clips to a constant frame rate (`ffmpeg -i in.mp4 -r 24 out.mp4`), remove the clip, or set "
                "shorter frame_buckets"
            ),
        ),
        (
            r"DecompressionBomb",
            "image_too_large",
            "an image has too many pixels: make it smaller",
        ),
        (
            r"MAX_TEXT_CHUNK|Decompressed data too large",
            "png_metadata",
            "a PNG has too much text in it, such as a workflow: save it without metadata",
        ),
        (
            (
                r"UnidentifiedImageError|cannot identify image|image file is truncated|broken data stream"
                r"|unrecognized data stream|broken PNG file|when reading image file"
            ),
            "damaged_image",
            (
                "an image is damaged, or of a format that Pillow cannot read, such as HEIC or AVIF under another "
                "ending: the error names it, or validate the request again, which names such files; convert it to PNG "
                "or JPEG, replace or remove it"
            ),
        ),
        (
            r"must train on videos",
            "videos_only",
            (
                "this image-to-video model trains on videos only: remove the images, and videos of a single frame, "
                "from the dataset"
            ),
        ),
        (
            r"OperationalError: disk I/O error",
            "cache_disk",
            (
                "the disk of the dataset's cache cannot hold a database, as many network shares and Windows drives "
                "under WSL2 (/mnt/c) cannot: copy the dataset to a local Linux disk; if it is on one, the disk failed "
                "or is full (see `dmesg` and `df`)"
            ),
        ),
        (
            (
                r"\[Errno (?:5|6|74|107|112|116|117|121)\]|Input/output error|Stale file handle"
                r"|Structure needs cleaning|Transport endpoint is not connected"
            ),
            "disk_failed",
            "a disk or a network mount failed: check it (`dmesg`, `mount`), then resume",
        ),
        (
            r"\[Errno 27\]|File too large",
            "file_too_large",
            (
                "the disk or a limit forbids files of this size: use another disk than one in FAT32, which allows 4 "
                "GB, or raise the limit of the service (LimitFSIZE, ulimit -f)"
            ),
        ),
        (
            r"\[Errno 40\]|Too many levels of symbolic links",
            "link_loop",
            ("a symbolic link in the path of the error leads back to itself: correct or remove it"),
        ),
        (
            r"\[Errno (?:16|39)\]",
            "still_open",
            (
                "another process has files of this directory open (network disks show them as .nfs files): end it, or "
                "set output_dir to a directory on a local disk, then resume"
            ),
        ),
        (
            r"\[Errno (?:1|18|22|37|38|95)\]|\(os error (?:1|18|22|37|38|95)\)|locking protocol",
            "disk_lacks",
            (
                "the disk of the path in the error lacks a function of Linux disks, as network shares, exFAT and "
                "Windows drives under WSL2 (/mnt/c) do: use a path on a local Linux disk"
            ),
        ),
        (
            r"File .{1,300} cannot be opened",
            "cannot_write",
            (
                "a file of the run cannot be written: free disk space, check the quota and that the trainer's user "
                "may write to output_dir, then resume"
            ),
        ),
        (
            r"No such device \((?:os error )?19\)|\[Errno 19\]",
            "no_mmap",
            (
                "the weights lie on a disk whose files cannot be mapped into memory, such as a Windows drive under "
                "WSL2 (/mnt/c) or a shared folder: copy them to a Linux disk"
            ),
        ),
        (
            r"AF_UNIX path too long",
            "long_tmp",
            (
                "the directory for temporary files has too long a path for a socket: set TMPDIR of the service to a "
                "short one, such as /tmp"
            ),
        ),
        (
            r"No usable temporary directory|random directory for manager socket",
            "no_tmp",
            "make /tmp writable and free space on its disk, or set TMPDIR of the service to another directory",
        ),
        (
            r"File name too long",
            "long_name",
            "shorten the name of the file in the error",
        ),
        (
            r"IsADirectoryError",
            "file_expected",
            (
                "the path in the error is a directory, but the trainer expects a file: give the path of the file in "
                "it, or move it away if it lies in the dataset"
            ),
        ),
        (
            r"killed by signal: (?:Segmentation fault|Aborted|Illegal instruction|Floating point)",
            "worker_crashed",
            (
                "a worker process crashed in native code, most often while it read a media file or in a package that "
                "does not fit: validate the request again, which names damaged files, and reinstall av, pillow and "
                "numpy in the trainer's environment"
            ),
        ),
        (
            (
                r"DataLoader worker .{1,60}(?:exited unexpectedly|killed by signal)|[Pp]in memory thread exited"
                r"|subprocesses has abruptly died|KeyError: '[0-9a-f]{9,16}'|\[worker\]$"
            ),
            "worker_died",
            (
                "a worker process ended, most often for lack of memory: look into `dmesg`, lower map_num_proc or "
                "caching_batch_size, and make /dev/shm larger"
            ),
        ),
        (
            r"\[no access: hub\]$",
            "no_access_hub",
            (
                "the trainer's user cannot write to the cache of the model hub: set HF_HOME in `env` to a directory "
                "that it can write to"
            ),
        ),
        (
            r"\[no access: kernels\]$",
            "no_access_kernels",
            (
                "the trainer's user cannot write to the cache of compiled code: set TRITON_CACHE_DIR and "
                "TORCHINDUCTOR_CACHE_DIR in `env`, and TORCH_EXTENSIONS_DIR of the service, to directories that it can "
                "write to"
            ),
        ),
        (
            r"\[read-only\]$",
            "read_only_path",
            (
                "the path in the error, most often output_dir, lies on a read-only disk: make it writable (mount the "
                "volume without `ro`; a disk with errors becomes read-only, see `dmesg`), or set another path"
            ),
        ),
        (
            r"Read-only file system|\[Errno 30\]|write a readonly database|unable to open database file",
            "read_only",
            (
                "the trainer writes its cache into each directory of the dataset: make it writable, or copy the "
                "dataset to a disk that is"
            ),
        ),
        (
            r"The file lock .{1,300} could not be acquired",
            "lock_file",
            (
                "another process downloads the same model, or its lock was left on a network disk: wait for it, or "
                "delete the .lock file in the error, and set HF_HOME in `env` to a directory on a local disk"
            ),
        ),
        (
            r"database is locked",
            "cache_locked",
            (
                "another process writes to the same cache, or it is on a network disk without locks: wait for the "
                "other training, or copy the dataset to a local disk"
            ),
        ),
        (
            (
                r"Invalid key: \d+ is out of bounds|\[old cache\]$"
                r"|AssertionError(?:: \(\d+, \d+\)|.*(?:cache_size <=|new_fingerprint ==|ds\.size_bucket =="
                r"|len\((?:self\.latent_dataset|te_dataset|grouping_key)\)|text_embeds\.shape\[:2\] ==))"
            ),
            "cache_differs",
            (
                "the cache does not fit the dataset: start the training again with regenerate_cache = true; an "
                "evaluation must not use the training's directory with other buckets"
            ),
        ),
        (r"stack expects each tensor to be equal size.*\[caching\]$", "batch_of_one", "set caching_batch_size = 1"),
        (
            r"stack expects each tensor to be equal size|resize storage that is not resizable",
            "unequal_sizes",
            (
                "items of a batch have different sizes, most often as the cache is outdated: start the training again "
                "with regenerate_cache = true; if it recurs, set micro_batch_size_per_gpu = 1"
            ),
        ),
        (
            r"surrogates not allowed",
            "file_names",
            (
                "a file's name or a caption is not in UTF-8: rename the dataset's files (`convmv -f latin1 -t utf8 "
                "--notest -r DIR`), and save captions as UTF-8"
            ),
        ),
        (
            r"'ascii' codec can't",
            "locale",
            ("the trainer runs without a UTF-8 locale: set LANG=C.UTF-8 (or PYTHONUTF8=1) for the service"),
        ),
        (
            r"UnicodeDecodeError",
            "utf8",
            "save captions and TOML files as UTF-8",
        ),
        (
            r"KeyError: '([A-Z][A-Z0-9]*_[A-Z0-9_]{1,60})'",
            "missing_variable",
            "the environment of the trainer lacks the variable `{what}`: set it for the service",
        ),
        (
            r"KeyError: '(?:custom_loader|custom_loader_state|num_batches_pulled|step)'",
            "checkpoint_version",
            (
                "the checkpoint was written by another version of the trainer: resume it with that version, or "
                "start a new training"
            ),
        ),
        (
            r"\[other layout\]$",
            "other_layout",
            (
                "the model's config.json has another layout, most often that of a repository for Diffusers: download "
                "the official repository of the model (its name has no `-Diffusers`), and give its directory"
            ),
        ),
        (
            r"not found in diffusers_to_bfl_map",
            "flux_unsaved",
            "the trainer cannot save a whole model of this variant of Flux: train an adapter of type lora",
        ),
        (
            r"KeyError: .*\[setting: (.+)\]$",
            "missing_setting",
            "`{what}` is missing: add it to the configuration, or to the dataset, as in the trainer's example",
        ),
        (
            r"KeyError: '([^']{1,80})'",
            "missing_key",
            "the configuration lacks the key `{what}`: add it to the section that the traceback shows",
        ),
        (
            r"ZeroDivisionError.*\[setting: (.+)\]$",
            "zero",
            (
                "the trainer divides by `{what}`, which is 0: set it to 1 or more; save_every_n_examples and "
                "eval_every_n_examples must not be below the global batch size"
            ),
        ),
        (
            r"FileExistsError: .*/tmp'",
            "tmp_left_behind",
            "an interrupted save left this `tmp` directory: resume the task, which removes it",
        ),
        (
            r"\[skipped: too short\]",
            "skipped_short",
            (
                "videos were skipped, as they are shorter than each of frame_buckets at the model's frame rate (the "
                "log has their frames): lower frame_buckets, or use longer clips; if files are left, raise num_repeats"
            ),
        ),
        (
            r"\[skipped: no caption\]",
            "skipped_captions",
            (
                "files were skipped, as they have no caption (the log names them): give each a .txt file of its name, "
                "or set skip_empty_caption = false; if files are left, raise num_repeats"
            ),
        ),
        (
            r"\[skipped: unreadable\]",
            "skipped_unreadable",
            (
                "files were skipped, as they could not be opened (the log names them): replace them; if files are "
                "left, raise num_repeats"
            ),
        ),
        (
            r"\[resumed\]$",
            "dataset_smaller",
            (
                "the dataset has fewer steps than the checkpoint has made in its epoch: resume with reset_dataloader, "
                "or restore the dataset, num_repeats and batch sizes"
            ),
        ),
        (
            r"dataset was empty|rounding down for each size bucket|^StopIteration",
            "dataset_too_small",
            (
                "no size bucket fills a step of batch size × gradient accumulation × GPUs: raise num_repeats, add "
                "files, or lower what is above 1 of these; look for skipped files (no caption, too short) in the log"
            ),
        ),
        (r"num_repeats must be", "num_repeats", "num_repeats must be above 0"),
        (
            r"NotImplementedError: .*forces alpha",
            "no_alpha",
            "remove `alpha` from [adapter]: the trainer sets it to the rank",
        ),
        (
            r"NotImplementedError: Model type (.{0,80}) is not implemented",
            "unknown_model_type",
            (
                "the trainer does not know the model type `{what}`: correct `type` in [model], as in the trainer's "
                "docs/supported_models.md; if it is right, update the trainer"
            ),
        ),
        (
            r"^NotImplementedError \[timesteps\]$",
            "timestep_method",
            "set timestep_sample_method in [model] to 'logit_normal' or 'uniform', or remove it",
        ),
        (
            r"^NotImplementedError \[no directory\]$",
            "diffusers_directory",
            "set diffusers_path in [model] to the model's directory for Diffusers: this type is loaded from it only",
        ),
        (
            r"NotImplementedError(?:$|: Adapter type)",
            "lora_only",
            "the trainer does not support this for this model: train an adapter of type lora",
        ),
        (
            (
                r"(?:Import|Runtime|Value)Error: (?:.*pip install (?:-U |--upgrade )?[`'\"]?|(?=\w{1,40} backend is)"
                r"|.*requires (?:the )?(?!following)(?=[\w.-]{1,60} (?:library|package)))([\w.-]{1,60})"
            ),
            "install_named",
            "install `{what}`, or its newest version, in the trainer's environment",
        ),
        (
            r"python[\d.]{0,6}: (?:No module named |Error while finding module spec.{1,80}\(ModuleNotFound)",
            "other_python",
            (
                "this Python is not that of the trainer, or lacks its packages: set DIFFUSION_PIPE_PYTHON to the "
                "Python of the trainer's environment, or run `pip install -r requirements.txt` with it in the "
                "trainer's directory"
            ),
        ),
        (
            r"No module named 'mpi4py'|environment variable (?:RANK|WORLD_SIZE|MASTER_\w+) expected",
            "no_launcher",
            (
                "train.py was started without DeepSpeed's launcher: start it with `deepspeed --num_gpus=1 train.py "
                "--deepspeed --config …`; mpi4py is not needed"
            ),
        ),
        (
            r"No module named '(utils|optimizers)\b",
            "own_module",
            (
                "a file of the trainer is missing, or another package named `{what}` hides its own: run `git pull` in "
                "the trainer's directory, and `pip uninstall {what}` with its Python"
            ),
        ),
        (
            (
                r"(?:NotFound|Import)Error: .*?(?:No module named '|your environment: |metadata was found for )"
                r"([\w.-]{1,80}?)(?:'|[.,] |$)"
            ),
            "install_module",
            "install `{what}` in the trainer's environment",
        ),
        (
            r"not compiled with CUDA|torch\._C' has no attribute '_cuda_|doesn't have NCCL built in",
            "torch_with_cuda",
            "install a PyTorch with CUDA in the trainer's environment",
        ),
        (
            r"\[toml parser\]$|Not a homogeneous array",
            "toml_parser",
            (
                "a TOML file cannot be parsed: check brackets, quotes and commas in its lists (of values of one type, "
                "such as [1.0, 2.5]) and tables; validate the request again, which names the line"
            ),
        ),
        (
            r"Object of type (?:datetime|date|time) is not JSON",
            "toml_date",
            ("a value of the configuration is read as a date or a time, as it has no quotes: write it in quotes"),
        ),
        (
            r"PermissionError|PermissionDenied|Permission denied|^setpriv: failed to execute",
            "path_access",
            "give the user of trainings (TRAINER_USER, or the service's user) access to that path",
        ),
        (
            r"index out of range in self",
            "index_in_table",
            (
                "a caption has a token that the text encoder does not know: set the text encoder and tokenizer that "
                "belong to the model, and shorten very long captions"
            ),
        ),
        (
            r"to satisfy the constraint Real\(\)",
            "model_nan",
            (
                "the VAE or a text encoder computed NaN: set dtype = 'bfloat16' in [model], as float16 overflows in "
                "many of them, and check that they belong to the model"
            ),
        ),
        (
            (
                r"loss scale already at minimum|is non-finite, so|[Ll]oss is (?:NaN|nan)|returned nan values"
                r"|histogram is empty|contains either `inf`|contained non-finite|algorithm failed to converge"
            ),
            "loss_overflowed",
            "the loss overflowed: lower the learning rate or use dtype bfloat16",
        ),
        (
            r"device-side assert",
            "index_on_gpu",
            (
                "an index on the GPU was out of range: check that text encoders and tokenizers belong to the model, "
                "and shorten very long captions; CUDA_LAUNCH_BLOCKING=1 in `env` makes the traceback show the place"
            ),
        ),
        (
            (
                r"illegal memory access|Memory access fault|misaligned address|unspecified launch failure"
                r"|illegal instruction"
            ),
            "gpu_kernel",
            (
                "resume it with compile = false and without expandable_segments in PYTORCH_CUDA_ALLOC_CONF; if it "
                "recurs, update the driver and PyTorch, and check the GPU for Xid errors and overclocking"
            ),
        ),
        (
            r"\[block swap\]$",
            "swap_failed",
            (
                "blocks could not be moved between the GPU and the machine's memory: lower blocks_to_swap or remove "
                "it (under WSL2, which limits pinned memory, raise `memory` in .wslconfig); if it recurs, update the "
                "trainer"
            ),
        ),
        (
            r"CUDA error|CUBLAS|CUDNN",
            "gpu_and_versions",
            (
                "resume it with compile = false; if it recurs, look for Xid errors (`dmesg | grep Xid`), update the "
                "NVIDIA driver, and reinstall torch with its nvidia packages in the trainer's environment"
            ),
        ),
        (
            r"\bibv_|NET/IB",
            "nccl_ib",
            (
                "InfiniBand failed: set NCCL_IB_DISABLE=1 in `env`, or check the cables and drivers (`ibstat`), then "
                "resume"
            ),
        ),
        (
            (
                r"\[Errno (?:101|110|-2|-3)\]|Network is unreachable|Connection timed out|name resolution"
                r"|Max retries exceeded|Connection aborted|Remote end closed|IncompleteRead|peer closed connection"
                r"|^httpx\.(?:Read|Write|Close|RemoteProtocol)Error"
            ),
            "network",
            (
                "the network failed: check it, and resume; if a model was to be downloaded, do so on a machine "
                "with network access, and give its directory"
            ),
        ),
        (
            r"remote process exited|store->get\(|gloo.{0,200}Connection (?:closed|reset) by peer",
            "other_rank",
            "another rank ended first, or the network failed: look for its error further up in the log, then resume",
        ),
        (r"NCCL", "nccl_again", "resume it; if it recurs, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1"),
        (
            r"\[own address\]$|failed to connect to any network address",
            "own_address",
            (
                "this machine cannot resolve its own name: add it to /etc/hosts (`127.0.0.1 localhost` and the "
                "output of `hostname`), then resume"
            ),
        ),
        (
            r"client socket has (?:failed|timed out)|Socket Timeout|Timed out waiting \d+ms",
            "rank_unreachable",
            (
                "a rank did not answer in time: look for another rank's error in the log; across machines, check "
                "that the first one's name resolves and that no firewall blocks its port"
            ),
        ),
        (
            r"AssertionError",
            "assertion",
            "the traceback shows which condition failed: correct that setting",
        ),
        (
            r"[Hh]ostfile contains|[Hh]ostfile is",
            "hostfile",
            "DeepSpeed reads the file /job/hostfile: correct its lines (`localhost slots=4`), or remove it",
        ),
        (
            r"can't open file '(.{1,200}?)': \[Errno",
            "no_trainer",
            (
                "there is no `{what}`: set DIFFUSION_PIPE_ROOT to the checkout of the trainer, and check that its "
                "user can read it"
            ),
        ),
        (
            r"(?:\benv: |bad interpreter: ).{1,80}(?:\\r|\^M)",
            "line_ends",
            (
                "a script has line ends of Windows: convert it (`sed -i 's/\\r$//' FILE`), or clone the trainer again "
                "on Linux"
            ),
        ),
        (
            r"\benv: |: (?:bad interpreter|command not found)|cannot execute",
            "no_program",
            (
                "a program cannot be started: set DIFFUSION_PIPE_PYTHON to the Python of the trainer's environment, "
                "and create that environment again if it was moved"
            ),
        ),
        (
            r"(?:error: unrecognized arguments|error: argument)",
            "other_flags",
            "this version of the trainer has other options: update the trainer",
        ),
        # -- errors known by their place only
        (
            r"^\[place: wandb\]$",
            "place_wandb",
            (
                "Weights & Biases failed: check wandb_api_key and the names in [monitoring], and the network, or set "
                "enable_wandb = false"
            ),
        ),
        (
            r"^\[place: media\]$",
            "place_media",
            (
                "a media file cannot be read: validate the request again, which names damaged files, and convert, "
                "replace or remove it"
            ),
        ),
        (
            r"^\[place: generic optimizer\]$",
            "place_generic_optimizer",
            (
                "settings of GenericOptim do not fit together: momentum_type is 'ema', 'none' or 'sm', which needs "
                "rank, update_proj_gap and proj_type; second_moment_type is 'ema', 'factored', 'sn' or 'none'; only "
                "one of muon, adamuon and normuon may be true"
            ),
        ),
        (
            r"^\[place: optimizer\]$",
            "place_optimizer",
            (
                "the optimizer fails with its settings: correct [optimizer] as the error and the trainer's examples "
                "show, or use adamw_optimi; if a resumed training failed, resume it with reset_optimizer"
            ),
        ),
        (
            r"^\[place: checkpoint\]$",
            "place_checkpoint",
            (
                "the checkpoint could not be loaded: resume with the settings and the version of the trainer that "
                "wrote it, or from an earlier one"
            ),
        ),
        (
            r"^\[place: batch\]$",
            "place_batch",
            (
                "the cached data does not fit the model, most often as it is of another model or version of the "
                "trainer: start the training again with regenerate_cache = true; if it recurs, update the trainer"
            ),
        ),
        (
            r"^\[place: item\]$",
            "place_item",
            (
                "an item of the dataset cannot be processed: validate the request again, which names damaged files and "
                "empty captions, remove files without a caption and the smallest files, and set caching_batch_size = "
                "1; if it recurs, set the VAE and text encoders that belong to the model"
            ),
        ),
        (
            r"^\[place: step\]$",
            "place_step",
            (
                "the model cannot compute a batch: start the training again with regenerate_cache = true and "
                "compile = false; if it recurs, set micro_batch_size_per_gpu = 1, and update the trainer and its "
                "submodules"
            ),
        ),
        (
            r"^\[place: save\]$",
            "place_save",
            (
                "the model or checkpoint could not be saved: check the disk of output_dir, update the trainer and its "
                "packages, and resume"
            ),
        ),
        (
            r"^\[place: stages\]$",
            "place_stages",
            (
                "the layers of the model could not be divided among the GPUs: lower pipeline_stages, or correct "
                "partition_split and partition_method"
            ),
        ),
        (
            r"^\[place: adapter\]$",
            "place_adapter",
            (
                "[adapter] has a value that is not accepted: rank must be a whole number above 0, dropout a number "
                "from 0 to below 1, and exclude_modules a list of names"
            ),
        ),
        (
            r"^\[place: setting (.+)\]$",
            "place_setting",
            (
                "the value of `{what}` has the wrong type or form: write numbers without quotes, lists in brackets, "
                "and compare it with the trainer's example"
            ),
        ),
        (
            r"^\[place: table (.+)\]$",
            "place_table",
            (
                "`{what}` must be a table: write its name in single brackets, such as [adapter], on the line above its "
                "settings"
            ),
        ),
        (
            r"^\[place: model\]$",
            "place_model",
            (
                "the model could not be loaded: a file in [model] is most likely incomplete or of another model: "
                "compare the paths with the trainer's example for this model type, and the files' sizes with their "
                "download page"
            ),
        ),
        (
            r"^\[place: library ([\w.-]+)\]$",
            "place_library",
            (
                "`{what}` cannot load a model: run `pip install --upgrade {what} 'diffusers<0.39'` with the trainer's "
                "Python; if it recurs, a file in [model] is incomplete or of another model: compare the paths with the "
                "trainer's example for this model type, and the files' sizes with their download page"
            ),
        ),
        (
            r"^\[place: submodule ([\w.-]+)\]$",
            "place_submodule",
            (
                "the error arose in the submodule {what}, most often as it does not match the trainer: run `git pull` "
                "and `git submodule update --init --recursive` in the trainer's directory; if it recurs, compare the "
                "files in [model] with the trainer's example for this model type"
            ),
        ),
        (
            r"^\[place: (?:import|package) ([\w.-]+)\]$",
            "place_package",
            (
                "the error arose in the package `{what}`, most often as its version does not fit the trainer or "
                f"another package: run {_UPGRADE} in the trainer's directory with its Python; if it recurs, reinstall "
                "it, update the trainer, or correct the setting that the traceback shows"
            ),
        ),
    )
)

#: Codes of hints that guess from the place of an error.
BY_PLACE = frozenset(f"hint_{code}" for _, code, _ in HINTS if code.startswith("place_"))
#: Codes of hints that assume an error of the trainer's own code.
_BY_CLASS = frozenset(("assertion", "missing_key"))


#: Codes of hints that name the package of a Python module, and those packages that have another name.
_OF_MODULES = frozenset(("install_module", "package_too_old"))
_PACKAGE_NAMES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "hydra": "hydra-core",
    "optimi": "torch-optimi",
    "optimum": "optimum-quanto",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

#: The advice for an unknown error.
READ_TRACEBACK = Reason.of(
    "read the traceback; correct the request or the trainer's environment, then resume or restart it", "read_traceback"
)


#: Kinds of directories on a read-only disk, by their path or the statements of the traceback.
_PLACES = (
    (
        "hub",
        re.compile(r"'[^']*/(?:\.cache/huggingface|huggingface/hub|(?:models|datasets)--[^'/]*)[/']|/huggingface_hub/"),
    ),
    (
        "kernels",
        re.compile(r"'[^']*(?:\.triton|torchinductor|torch_extensions)|/triton/runtime/cache\.py|/torch/_inductor/"),
    ),
    ("dataset", re.compile(r"'[^']*/cache(?:/|')")),
    ("output", re.compile(r"run_dir|output_dir|saver\.py|in save_checkpoint$|SummaryWriter|tb_writer", re.MULTILINE)),
    ("dataset", re.compile(r"utils/(?:dataset|cache)\.py|in _handle_task$", re.MULTILINE)),
)
_READ_ONLY = re.compile(r"Read-only file system|\[Errno 30\]")

#: Where weights are: a path in a message, or a key of [model] in a statement.
_WEIGHTS_PATH = re.compile(r"Unable to load weights from [\w ]{0,40}file for '([^']{1,300})'|File path: (.{1,300})")
_MODEL_KEY = re.compile(r"model_config(?:\[|\.get\()['\"](\w{0,40}(?:path|vae|model|encoder|checkpoint)\w{0,40})['\"]")
_OF_WEIGHTS = re.compile(rf"{_NO_HEADER}|{_DAMAGED}")

#: Pattern of an error, pattern of its traceback, and what the error is about if both match.
_ABOUT = tuple(
    (re.compile(of_text), re.compile(of_frames, re.MULTILINE), about)
    for of_text, of_frames, about in (
        (_CUT_OFF, r"/utils/cache\.py", "cut off: cache"),
        ("JSONDecodeError", r"in check_grouped_metadata$", "cut off: cache"),
        (_CUT_OFF, r"in _?load_checkpoint$|\.load_checkpoint\(|checkpoint_engine\.py", "cut off: checkpoint"),
        ("UnpicklingError", r"in _?load_checkpoint$", "checkpoint"),
        ("^KeyError", r"DTYPE_MAP\[", "data type"),
        ("^IndexError", r"in get_most_recent_run_dir$", "no run"),
        ("^KeyError", r"\bjson_config\[", "other layout"),
        ("^RecursionError", r"in __getattr__$", "lookup"),
        ("text input must be of type|TextEncodeInput must be", "", "captions.json"),
        (
            "^(?:TypeError|RuntimeError|OSError|Exception)",
            r"/transformers/(?:\S*tokenization_|convert_slow)",
            "sentencepiece",
        ),
        (
            "stack expects each tensor|same device|for 'Float8",
            r"in (?:_handle_task|_map_and_cache|_cache_\w{1,40}|latents_map_fn)$",
            "caching",
        ),
        (
            r"not supported between instances of (?:'\w+' and 'str'|'str' and '\w+')|must be real number, not str",
            r"in (?:get_optimizer|enable_block_swap)$",
            "quoted number",
        ),
        ("values to unpack", r"in get_optimizer$", "betas"),
        ("size of tensor a", r"^\s*loss \*= mask$", "mask"),
        ("^IndexError", r"in _get_cuda_arch_flags$", "no GPU to build for"),
        ("^(?:IndexError|ValueError|KeyError|TypeError|AttributeError)", r"/toml/decoder\.py", "toml parser"),
        ("string indices|'str' object has no attribute 'setdefault'", r"/utils/dataset\.py", "dataset"),
        ("^(?:Attribute|Index|Key|Type)Error", r"\bcaption(?:_data\.|s_dict\[|\.split)", "captions.json"),
        ("^KeyError", r"\b(?:example|entry)\['", "old cache"),
        (r"torch\._(?:dynamo|inductor)", r"/optimizers/generic_optim\.py", "muon"),
        # Weights are loaded one by one into the part that the statement names. A missing one may be in another file.
        (
            r"^(?:AttributeError|ValueError: \w+\()",
            r"set_module_tensor_to_device\(vae\b",
            "other VAE",
        ),
        (
            r"^(?:AttributeError|KeyError|ValueError: \w+\()",
            r"set_module_tensor_to_device\((?:self\.)?(?:text_encoder|byt5)",
            "other text encoder",
        ),
        (
            r"^(?:AttributeError|ValueError: \w+\()",
            r"set_module_tensor_to_device\((?:self\.)?(?:transformer|model|llm_adapter)\b",
            "other transformer",
        ),
        ("^NotImplementedError$", r"in (?:prepare_inputs|get_t_distribution)$", "timesteps"),
        (
            "^NotImplementedError$",
            r'/models/(?:sd3|omnigen2)\.py", line \d+, in (?:__init__|load_diffusion_model)$',
            "no directory",
        ),
        ("got an unexpected keyword", r"(?s)\A(?!.*in get_optimizer$).", "no optimizer"),
        (
            "^(?:RuntimeError|NotImplementedError|AssertionError|AcceleratorError|torch.AcceleratorError)",
            r"/offloading\.py|in enable_block_swap$",
            "block swap",
        ),
        ("CUDA error: (?!out of memory)|ImportError|NotImplementedError", r"/site-packages/xformers/", "xformers"),
        (r"gaierror|\[Errno 99\]", r"in init_distributed$", "own address"),
        (r"size mismatch for|^KeyError: '[\w.]+\.(?:weight|bias)'", r"/submodules/ComfyUI/", "ComfyUI"),
        ("^(?:BrokenPipeError|EOFError$)", r"/multiprocess(?:ing)?/", "worker"),
        ("not NoneType$|'NoneType' object", r"in prepare_inputs$", "incomplete item"),
    )
)

#: Messages of the trainer about a file of a dataset that it skips.
_SKIPPED = (
    ("is being skipped because it is too short", "skipped: too short"),
    (". Skipping image", "skipped: no caption"),
    ("left out because the trainer could not open", "skipped: unreadable"),
)

#: The warning of PyTorch about a GPU that it was not built for.
_CAPABILITY = re.compile(r"CUDA capability (sm_\d{2,3}) is not compatible|of cuda capability (\d{1,2})\.(\d)")

#: The path of a frame, those of Python and its packages, and that of a submodule.
_FRAME = re.compile(r'\s*File "([^"]{1,400})", line \d')
_INSTALLED = re.compile(r"(?:site|dist)-packages/|/lib/python3|^<|^[^/]+$")
_LOADING = re.compile(r'/models/[^"]*\.py", line \d+, in (?:__init__|load_diffusion_model|load_fn)$', re.MULTILINE)
_SUBMODULE = re.compile(r"/submodules/([\w.-]{1,60})/")
#: Errors of the operating system, whose place does not tell their cause.
_OF_SYSTEM = re.compile(r"\[Errno \d+\]|\(os error \d+\)")
_BY_FRAMES = (
    ("wandb", re.compile(r'File "[^"]*/wandb/')),
    ("media", re.compile(r'File "[^"]*/(?:PIL|av|imageio|video_types\.py)')),
    ("checkpoint", re.compile(r"in load_checkpoint$", re.MULTILINE)),
    ("generic optimizer", re.compile(r"/optimizers/generic_optim\.py")),
    ("optimizer", re.compile(r"in (?:get_optimizer|_take_model_step|_exec_optimizer_step)$", re.MULTILINE)),
    ("batch", re.compile(r"in prepare_inputs$", re.MULTILINE)),
    ("adapter", re.compile(r"in configure_adapter$", re.MULTILINE)),
    (
        "stages",
        re.compile(r'/(?:deepspeed/runtime/pipe/module|utils/pipeline)\.py", line \d+, in (?:__init__|_partition)'),
    ),
)

_BY_STAGE = (
    ("model", _LOADING),
    ("item", re.compile(r"in (?:_handle_task|_map_and_cache|latents_map_fn)$", re.MULTILINE)),
    ("save", re.compile(r"/utils/saver\.py|in save_checkpoint$", re.MULTILINE)),
    ("step", re.compile(r"in (?:train_batch|eval_batch)$", re.MULTILINE)),
)

#: A setting in a statement: the table, if any, and the key; or a variable with the name of a key.
_SETTING = re.compile(
    r"((?<!\w)\w*config|eval_dataset)(?:\[['\"](\w+)['\"]\])?(?:\[|\.(?:get|pop|setdefault)\()['\"](\w+)['\"]"
)
_NAMED_SETTING = re.compile(
    r"\b(resolutions|frame_buckets|size_buckets|ar_buckets|min_ar|max_ar|num_ar_buckets|num_repeats|warmup_steps|lr"
    r"|blocks_to_swap|(?:eval_|image_){0,2}micro_batch_size_per_gpu|caching_batch_size|betas)\b"
)
_TABLES = {
    "model_config": "[model].",
    "adapter_config": "[adapter].",
    "optim_config": "[optimizer].",
    "dataset_config": "dataset.",
    "directory_config": "[[directory]].",
    "eval_dataset": "eval_datasets.",
    "te_config": "text_encoders.",
}
#: Errors of a value of the wrong type or form.
_OF_VALUES = re.compile(
    r"(?:TypeError|ValueError|IndexError|OverflowError)\b|KeyError: \d"
    r"|AttributeError: '(?:str|list|dict|int|float|bool)' object"
)
#: Errors of a setting whose table is a list of tables or a single value.
_OF_TABLES = re.compile(
    r"'(?:str|list)' object has no attribute '(?:get|pop|setdefault|items)'|indices must be integers"
)
_IMPORT = re.compile(r"\s*(?:import|from) (?!(?:utils|models|optimizers)\b)([A-Za-z_]\w{0,60})")

#: Errors of code that was written for another version of a package, and the frames that can show which one: those of
#: torch and of process pools only pass an error on.
_OF_VERSIONS = re.compile(r"(?:AssertionError|AttributeError|NameError|TypeError)\b")
_PACKAGE = re.compile(r"/(?:site|dist)-packages/(?!(?:torch|multiprocess|datasets)/)([\w.-]{1,60})/")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/(transformers|diffusers|tokenizers)/")
_ATTRIBUTE = re.compile(
    r"AttributeError: (?:type object )?'(?!NoneType|str|list|dict|int|float|bool|tuple)\w+' (?:object )?has no attr"
)

#: A compiler that failed, and what it printed above the traceback.
_COMPILER = re.compile(r"CalledProcessError: Command '\['[^']*(?:gcc|clang|/cc|[gc]\+\+)'")
_COMPILER_SAID = re.compile(r"fatal error: [\w./+-]{1,100}: No such file|cannot find -l\w{1,60}")

#: An error of CUDA as NCCL and other callers of the driver report it.
_CUDA_FAILURE = re.compile(r"Cuda failure (?:\d{1,4} )?'([^']{1,200})'|CUDA driver error: (.{1,200})")

#: A statement of a package that has code for GPUs of its own.
_PACKAGE_WITH_KERNELS = re.compile(
    r'File "[^"]*/(flash_attn|bitsandbytes|xformers|sageattention)/|/csrc/(flash_attn|sageattention|xformers)'
)


def hint_for(
    text: str, traceback: Sequence[str] = (), details: Sequence[str] = (), output: Sequence[str] = ()
) -> Reason:
    """Return the hint for an exception, or the general advice to read the traceback.

    Args:
        text: The exception line.
        traceback: The lines of its traceback, which show what the trainer did.
        details: Further lines of the message.
        output: Warnings and the last lines of the log.

    """
    text = " ".join((text, *(line.strip() for line in details)))[: 2 * LINE_LIMIT]
    text = _CUDA_FAILURE.sub(r"CUDA error: \1\2", text)
    if text.startswith("AssertionError"):
        # Such an error rarely has a message. The last statement of the traceback is its condition.
        conditions = [line.strip() for line in traceback if line.strip().startswith("assert ")]
        text = f"{text} {conditions[-1][:LINE_LIMIT]}" if conditions else text
    about = _about(text, traceback, output)
    text = f"{text} [{about}]" if about else text
    place = None if _OF_SYSTEM.search(text) else _place(text, traceback)
    is_foreign = place is not None
    for pattern, code, hint in HINTS:
        if is_foreign and code in _BY_CLASS:
            continue
        found = pattern.search(text)
        if found is not None:
            what = {"what": found[1]} if pattern.groups else {}
            if code in _OF_MODULES:
                what = {"what": _PACKAGE_NAMES.get(found[1], found[1])}
            return Reason.of(hint, f"hint_{code}", **what)
    return READ_TRACEBACK if place is None else hint_for(f"[place: {place}]")


def _own(traceback: Sequence[str]) -> tuple[str, str]:
    """Return the path and the statement of the last frame outside of Python and its packages."""
    own, statement = "", ""
    for line, following in pairwise((*traceback, "")):
        if (found := _FRAME.match(line)) is not None and not _INSTALLED.search(found[1]):
            own, statement = found[1], following
    return own, statement


def _setting(statement: str) -> str | None:
    """Return the setting that a statement reads, with its table, or None."""
    if (found := _SETTING.search(statement)) is not None:
        table = f"[{found[2]}]." if found[2] else _TABLES.get(found[1], "")
        return f"{table}{found[3]}"
    named = _NAMED_SETTING.search(statement)
    return None if named is None else named[1]


def _place(text: str, traceback: Sequence[str]) -> str | None:
    """Return the trainer's activity at an error that matches no pattern, or None."""
    own, statement = _own(traceback)
    frames = "\n".join(traceback)
    if _OF_VALUES.match(text) and (setting := _setting(statement)) is not None and "[model]" not in setting:
        if _OF_TABLES.search(text) and (table := setting.rpartition(".")[0]):
            return f"table {table}"
        return f"setting {setting}"
    if "/wandb/" not in frames and (imported := _IMPORT.match(statement)) is not None:
        # A package fails most often for the sake of one that it imports itself.
        packages = _PACKAGE.findall(frames)
        return f"import {packages[-1] if packages else imported[1]}"
    for place, pattern in _BY_FRAMES:
        if pattern.search(frames):
            return place
    if (submodule := _SUBMODULE.search(own)) is not None:
        return f"submodule {submodule[1]}"
    if own.endswith("/utils/dataset.py") and not _ATTRIBUTE.match(text):
        return "item"
    if (package := _between_versions(text, traceback)) is not None:
        return package
    stage = next((place for place, pattern in _BY_STAGE if pattern.search(frames)), None)
    libraries = _LIBRARY.findall(frames) if stage == "model" else []
    return f"library {libraries[-1]}" if libraries else stage


def _between_versions(text: str, traceback: Sequence[str]) -> str | None:
    """Return the package in which an error arose as it may have another version than the trainer expects, or None."""
    if not _OF_VERSIONS.match(text):
        return None
    paths = [found[1] for line in reversed(traceback) if (found := _FRAME.match(line)) is not None]
    for path in takewhile(_INSTALLED.search, paths):
        if (package := _PACKAGE.search(path)) is not None:
            return f"package {package[1]}"
    return "versions" if _ATTRIBUTE.match(text) else None


def _about(text: str, traceback: Sequence[str], output: Sequence[str]) -> str | None:
    """Return the subject of an error whose text does not name it: a directory, a file, a stage or a GPU."""
    frames = "\n".join(traceback)
    place = next((place for place, pattern in _PLACES if pattern.search(f"{text}\n{frames}")), "other")
    is_read_only = _READ_ONLY.search(text) is not None
    if place in ("hub", "kernels") and (is_read_only or text.startswith("PermissionError")):
        return f"no access: {place}"
    if is_read_only:
        return None if place == "dataset" else "read-only"
    if place in ("output", "dataset") and re.match("NotADirectoryError|FileExistsError(?!.*/tmp')", text):
        return "in the way"
    for of_text, of_frames, about in _ABOUT:
        if of_text.search(text) and of_frames.search(frames):
            return about
    if text.startswith(("KeyError: '", "ZeroDivisionError")):
        setting = _setting(_own(traceback)[1])
        is_named = setting is not None and (text.startswith("Zero") or setting.endswith(text[11:-1]))
        return f"setting: {setting}" if is_named else None
    if (said := _said_before(text, output)) is not None:
        return said
    if _OF_WEIGHTS.search(text):
        paths = [found[1] or found[2].strip() for found in _WEIGHTS_PATH.finditer(f"{text}\n{frames}")]
        keys = [f"[model].{found[1]}" for found in _MODEL_KEY.finditer(frames)]
        return next((f"weights: {where}" for where in (*paths[:1], *keys[-1:])), None)
    if re.search(_NO_KERNELS, text):
        capabilities = [
            found[1] or f"sm_{found[2]}{found[3]}" for line in output if (found := _CAPABILITY.search(line))
        ]
        packages = [f"package: {found[1] or found[2]}" for found in _PACKAGE_WITH_KERNELS.finditer(f"{frames}\n{text}")]
        return next(iter((*capabilities, *packages[-1:])), None)
    return None


def _said_before(text: str, output: Sequence[str]) -> str | None:
    """Return what earlier lines of the log say about the cause of an error, or None."""
    if "dataset was empty" in text:
        return next((about for message, about in _SKIPPED if any(message in line for line in output)), None)
    if text.startswith("StopIteration") and any(RESUMING.match(line) for line in output):
        return "resumed"
    if text.startswith("SyntaxError") and any(" <<<<<<< " in line for line in output):
        return "merge conflict"
    if "cudnn" in text.lower() and any("libcuda.so: cannot open" in line for line in output):
        return "libcuda.so cannot found"
    if _COMPILER.search(text):
        return next((found[0] for line in output if (found := _COMPILER_SAID.search(line))), None)
    return None
