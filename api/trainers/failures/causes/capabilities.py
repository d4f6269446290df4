"""What a GPU, its driver, and the code that was built for them can do."""

from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import NO_KERNELS

CAUSES = (
    KnownCause(
        "driver_failed",
        pattern=r"CUDA error: unknown error",
        remedy=(
            "the NVIDIA driver failed, as it may after sleep or an update: restart the machine (under WSL2: "
            "`wsl --shutdown`), update the driver, then resume"
        ),
        remedy_zh=(
            "NVIDIA 驱动出错，休眠或更新后可能如此：请重启机器（WSL2 下：`wsl --shutdown`），更新驱动，然后继续训练"
        ),
        examples=("torch.AcceleratorError: CUDA error: unknown error",),
    ),
    KnownCause(
        "no_bf16",
        pattern=r"(?i)(?:bf16|bfloat16)(?:/gpu)? is not supported|doesn't support bf16",
        remedy=(
            "this GPU cannot compute in bfloat16: set dtype = 'float16' in [model] and [adapter], or use an "
            "RTX 30, A100 or newer"
        ),
        remedy_zh=(
            "此 GPU 不能以 bfloat16 计算：在 [model] 与 [adapter] 中设置 dtype = 'float16'，或使用 RTX 30、"
            "A100 或更新的 GPU"
        ),
        examples=(
            "ValueError: Your setup doesn't support bf16/gpu.",
            "ValueError: bf16 is not supported on this device",
        ),
    ),
    KnownCause(
        "no_fp8",
        pattern=r"fp8e4nv not supported|scaled_mm is only supported",
        remedy=(
            "this GPU cannot compute in float8, which needs an RTX 40, L4, H100 or newer: set compile = false, "
            "or use bf16 weights"
        ),
        remedy_zh=(
            "此 GPU 不能以 float8 计算，这需要 RTX 40、L4、H100 或更新的 GPU：请设置 compile = false，或使用 bf16 权重"
        ),
        examples=(
            "ValueError: type fp8e4nv not supported in this architecture.",
            "RuntimeError: torch._scaled_mm is only supported on CUDA devices with compute capability >= 9.0",
        ),
    ),
    KnownCause(
        "display_watchdog",
        pattern=r"the launch timed out and was terminated",
        remedy=(
            "the GPU also drives a display, which ended a long computation: train on a GPU without a display, "
            "or lower micro_batch_size_per_gpu"
        ),
        remedy_zh=(
            "该 GPU 同时用于显示，因此中止了过长的计算：请用不接显示器的 GPU 训练，或降低 micro_batch_size_per_gpu"
        ),
        examples=("RuntimeError: CUDA error: the launch timed out and was terminated",),
    ),
    KnownCause(
        "cuda_function",
        pattern=r"(?i)CUDA.*\boperation not supported",
        remedy=(
            "this system, such as WSL2 or a virtual GPU, lacks a function of CUDA: remove expandable_segments "
            "from PYTORCH_CUDA_ALLOC_CONF, and with several GPUs set NCCL_P2P_DISABLE=1"
        ),
        remedy_zh=(
            "此系统（例如 WSL2 或虚拟 GPU）缺少 CUDA 的某项功能：请从 PYTORCH_CUDA_ALLOC_CONF 中去掉 "
            "expandable_segments；使用多块 GPU 时设置 NCCL_P2P_DISABLE=1"
        ),
        examples=("RuntimeError: CUDA error: operation not supported",),
    ),
    KnownCause(
        "torch_for_blackwell",
        pattern=rf"(?:{NO_KERNELS}).*\[(sm_1[02]\d)\]$",
        remedy=(
            "this GPU ({what}) needs PyTorch 2.7 or newer, built for CUDA 12.8 or newer (cu128): install it "
            "with its torchvision in the trainer's environment, and reinstall packages built for torch, such "
            "as flash-attn"
        ),
        remedy_zh=(
            "此 GPU（{what}）需要 PyTorch 2.7 或更新的版本，且为 CUDA 12.8 或更新的版本构建（cu128）：请在训练"
            "器的环境中连同其 torchvision 一起安装，并重新安装为 torch 构建的软件包，例如 flash-attn"
        ),
        examples=(
            (
                "RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch\n"
                "RuntimeError: CUDA error: no kernel image is available for execution on the device"
            ),
        ),
    ),
    KnownCause(
        "torch_for_old_gpu",
        pattern=rf"(?:{NO_KERNELS}).*\[(sm_[5-7]\d)\]$",
        remedy=(
            "this GPU ({what}) is too old for the installed PyTorch: install one that was built for CUDA 12.6 "
            "or older, or use a newer GPU"
        ),
        remedy_zh=(
            "此 GPU（{what}）对所安装的 PyTorch 来说太旧：请安装为 CUDA 12.6 或更旧的版本构建的 PyTorch，或使用"
            "更新的 GPU"
        ),
        examples=(
            (
                "Found GPU0 GTX 1080 which is of cuda capability 6.1.\n"
                "RuntimeError: CUDA error: no kernel image is available for execution on the device"
            ),
        ),
    ),
    KnownCause(
        "package_for_gpu",
        pattern=rf"(?:{NO_KERNELS}).*\[package: (.+)\]$",
        remedy=(
            "`{what}` has no code for this GPU: install a version of it that was built for this GPU and for this torch"
        ),
        remedy_zh="`{what}` 不含用于此 GPU 的代码：请安装为此 GPU 与此 torch 版本构建的版本",
        examples=(
            "RuntimeError: FlashAttention: CUDA error (/csrc/flash_attn/a.h:1): no kernel image is available",
            (
                '  File "/v/flash_attn/flash_attn_interface.py", line 9, in f\n'
                "RuntimeError: CUDA error: no kernel image is available for execution on the device"
            ),
        ),
    ),
    KnownCause(
        "torch_for_gpu",
        pattern=NO_KERNELS,
        remedy="install a PyTorch that was built for this GPU in the trainer's environment",
        remedy_zh="在训练器的环境中安装为此 GPU 构建的 PyTorch",
        examples=(
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            "RuntimeError: HIP error: invalid device function",
            "RuntimeError: CUDA error: device kernel image is invalid",
            (
                '  File "/v/torch/nn/modules/conv.py", line 9, in f\n'
                "RuntimeError: CUDA error: no kernel image is available for execution on the device"
            ),
            (
                "RTX 4090 with CUDA capability sm_89 is not compatible with the current PyTorch\n"
                "RuntimeError: CUDA error: no kernel image is available for execution on the device"
            ),
            (
                '  File "/v/site-packages/deepspeed/runtime/pipe/engine.py", line 9, in train_batch\n'
                '  File "/t/models/a.py", line 9, in forward\n'
                "RuntimeError: CUDA error: CUBLAS_STATUS_ARCH_MISMATCH when calling x"
            ),
            "rocBLAS error: Cannot read library/TensileLibrary.dat: No such file or directory",
            "RuntimeError: nvrtc: error: invalid value for --gpu-architecture (-arch)",
            "RuntimeError: CUDA error: too many resources requested for launch",
        ),
    ),
    KnownCause(
        "driver_or_torch",
        pattern=r"driver (?:version is insufficient|on your system is too old)|unsupported toolchain",
        remedy="update the NVIDIA driver, or install a PyTorch for an older CUDA",
        remedy_zh="更新 NVIDIA 驱动，或安装用于较旧 CUDA 的 PyTorch",
        examples=(
            "RuntimeError: The NVIDIA driver on your system is too old (found version 11040)",
            "RuntimeError: CUDA error: the provided PTX was compiled with an unsupported toolchain.",
        ),
    ),
    KnownCause(
        "expandable_segments",
        pattern=r"expandable_segments",
        remedy=(
            "remove expandable_segments from PYTORCH_CUDA_ALLOC_CONF in `env`: this PyTorch or system cannot use it"
        ),
        remedy_zh="从 `env` 的 PYTORCH_CUDA_ALLOC_CONF 中去掉 expandable_segments：此 PyTorch 或系统不能使用它",
        examples=("RuntimeError: Unrecognized CachingAllocator option: expandable_segments",),
    ),
)
