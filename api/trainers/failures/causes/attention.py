"""Attention kernels and their packages."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "flash_attn",
        pattern=(
            r"flash_attn.*(?:undefined symbol|DLL load failed)|DLL load failed.*flash_attn"
            r"|undefined symbol.*flash_attn|FLASH_ATTN_2_AVAILABLE|flash_attn_varlen_func"
            r"|FlashAttention2 has been toggled on|No module named 'flash_attn"
        ),
        remedy="reinstall flash-attn, built for the trainer's version of torch and this GPU",
        remedy_zh="重新安装为训练器的 torch 版本与此 GPU 构建的 flash-attn",
        examples=(
            "ImportError: flash_attn_2_cuda.so: undefined symbol: _ZN3c105Error",
            "ImportError: /x/flash_attn_2_cuda.cpython-312.so: undefined symbol: _ZN2at",
            "AssertionError: assert FLASH_ATTN_2_AVAILABLE",
            "ImportError: FlashAttention2 has been toggled on, but it cannot be used",
            "ModuleNotFoundError: No module named 'flash_attn'",
            "ImportError: DLL load failed while importing flash_attn_2_cuda",
            "ImportError: undefined symbol: _ZN2at in flash_attn_2_cuda",
            "NameError: name 'flash_attn_varlen_func' is not defined",
        ),
    ),
    KnownCause(
        "no_attention_kernel",
        pattern=(
            r"No available kernel|cutlassF: no kernel|USE_(?:FLASH|MEM_EFF)\w* was not enabled"
            r"|No viable backend for scaled_dot|(?i:(?:flash|efficient) attention (?:was|is) not (?:compiled"
            r"|available))"
        ),
        remedy=(
            "none of PyTorch's attention kernels accepts this GPU, data type or mask (warnings above the error "
            "name the reasons): set dtype = 'bfloat16' in [model] and [adapter], and install the newest "
            "PyTorch with CUDA that supports this GPU; flash attention needs an RTX 30, A100 or newer"
        ),
        remedy_zh=(
            "PyTorch 的各种注意力实现都不接受这个 GPU、数据类型或掩码（错误上方的警告说明了原因）：请在 "
            "[model] 和 [adapter] 中设置 dtype = 'bfloat16'，并安装支持此 GPU 的最新 CUDA 版 PyTorch；flash "
            "attention 需要 RTX 30、A100 或更新的 GPU"
        ),
        examples=(
            "RuntimeError: No available kernel. Aborting execution.",
            "RuntimeError: cutlassF: no kernel found to launch!",
            "RuntimeError: USE_FLASH_ATTENTION was not enabled for build.",
            "RuntimeError: No viable backend for scaled_dot_product_attention was found.",
            "RuntimeError: Torch was built and flash attention was not compiled in",
        ),
    ),
    KnownCause(
        "flash_attn_dtype",
        pattern=r"(?i)flash_?attention only supports? fp16 and bf16|assert dtype in half_dtypes",
        remedy="FlashAttention needs 16 bits: set dtype = 'bfloat16' in [model]",
        remedy_zh="FlashAttention 需要 16 位：在 [model] 中设置 dtype = 'bfloat16'",
        examples=(
            "RuntimeError: FlashAttention only support fp16 and bf16 data type",
            (
                '  File "/t/models/attention.py", line 9, in flash_attention\n'
                "    assert dtype in half_dtypes\n"
                "AssertionError"
            ),
        ),
    ),
    KnownCause(
        "xformers",
        pattern=r"memory_efficient_attention|xFormers (?:wasn't|can't)|xformers::|\[xformers\]$",
        remedy=(
            "xformers does not fit this GPU or torch: remove it from the trainer's environment (`pip uninstall "
            "xformers`), as the trainer works without it, or reinstall it for this torch"
        ),
        remedy_zh=(
            "xformers 与此 GPU 或此 torch 不符：请把它从训练器的环境中移除（`pip uninstall xformers`），训练器"
            "不需要它；或为此 torch 重新安装"
        ),
        examples=(
            (
                '  File "/t/models/a.py", line 9, in forward\n'
                '  File "/v/site-packages/xformers/a.py", line 9, in f\n'
                "RuntimeError: CUDA error: invalid argument"
            ),
            "NotImplementedError: No operator found for `memory_efficient_attention_forward` with inputs:",
            "RuntimeError: xFormers can't load C++/CUDA extensions.",
            "NotImplementedError: Could not run 'xformers::efficient_attention_forward_cutlass'",
        ),
    ),
    KnownCause(
        "head_size",
        pattern=r"is_sm80|head dim(?:ension)? (?:>|at most)",
        remedy=(
            "this GPU cannot train with the attention of this model: install the newest PyTorch and flash-attn "
            "in the trainer's environment, or use an A100, H100 or newer"
        ),
        remedy_zh=(
            "此 GPU 无法以该模型的注意力进行训练：请在训练器的环境中安装最新的 PyTorch 和 flash-attn，或使用 "
            "A100、H100 或更新的 GPU"
        ),
        examples=(
            "RuntimeError: Expected is_sm80 || is_sm90 to be true, but got false.",
            "RuntimeError: FlashAttention backward for head dim > 192 requires A100/A800 or H100/H800",
        ),
    ),
    KnownCause(
        "flash_attn_gpu",
        pattern=r"FlashAttention only supports Ampere|flash_attn.*(?:sm_?\d\d|Ampere)",
        remedy=(
            "FlashAttention needs an Ampere GPU (RTX 30, A100) or newer: use such a GPU, or a model type "
            "without it, such as flux, sdxl, qwen_image or z_image"
        ),
        remedy_zh=(
            "FlashAttention 需要 Ampere（RTX 30、A100）或更新的 GPU：请使用这样的 GPU，或不需要它的模型类型，例"
            "如 flux、sdxl、qwen_image 或 z_image"
        ),
        examples=(
            "RuntimeError: FlashAttention only supports Ampere GPUs or newer.",
            "RuntimeError: flash_attn needs sm_80 or newer",
        ),
    ),
)
