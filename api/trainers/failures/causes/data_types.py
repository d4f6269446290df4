"""Data types, and numbers that overflow."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "bf16_or_plain_fp8",
        pattern=(
            r"fp8_scaled weights are not supported|'NoneType' object has no attribute 'Params'"
            r"|[Bb]lockwise (?:4bit )?quantization only supports"
        ),
        remedy="the weights are already quantised: use the bf16 file, or a plain fp8 file without scales",
        remedy_zh="权重已经量化：使用 bf16 文件，或不带 scale 的普通 fp8 文件",
        examples=(
            "ValueError: fp8_scaled weights are not supported. Please use bf16 or normal fp8 weights.",
            "AttributeError: 'NoneType' object has no attribute 'Params'",
            "ValueError: Blockwise 4bit quantization only supports 16/32-bit floats, but got torch.uint8",
        ),
    ),
    KnownCause(
        "float8_computed",
        pattern=r"not implemented for 'Float8",
        within=r"in (?:_handle_task|_map_and_cache|_cache_\w{1,40}|latents_map_fn)$",
        remedy=(
            "VAE and text encoders cannot compute in float8: set dtype = 'bfloat16' in [model], use bf16 files "
            "for them, and set 'float8' only as transformer_dtype or diffusion_model_dtype"
        ),
        remedy_zh=(
            "VAE 与文本编码器不能用 float8 计算：请在 [model] 中设置 dtype = 'bfloat16'，为它们使用 bf16 文件，"
            "'float8' 只用于 transformer_dtype 或 diffusion_model_dtype"
        ),
        examples=(
            (
                '  File "/t/x.py", line 9, in _handle_task\n'
                "NotImplementedError: \"addmm_cuda\" not implemented for 'Float8_e4m3fn'"
            ),
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "RuntimeError: 'index' not implemented for 'Float8_e4m3fn'"
            ),
        ),
    ),
    KnownCause(
        "float8_trained",
        pattern=(
            r"Promotion for Float8 Types|unsupported grad type"
            r"|not implemented for 'Float8(?!.*\[block swap\]$)"
        ),
        remedy=(
            "weights in float8 cannot be trained: if [adapter] has a `dtype` of float8, remove it; if there is "
            "no [adapter], add it, which trains beside them, or remove transformer_dtype (or "
            "diffusion_model_dtype)"
        ),
        remedy_zh=(
            "float8 权重不能被训练：若 [adapter] 的 `dtype` 为 float8，请去掉它；若没有 [adapter]，请加上它（它"
            "训练的是附加的权重），或去掉 transformer_dtype（或 diffusion_model_dtype）"
        ),
        examples=(
            "RuntimeError: Promotion for Float8 Types is not supported, attempted to promote Float8_e4m3fn",
            "NotImplementedError: \"lerp_cuda\" not implemented for 'Float8_e4m3fn'",
            "RuntimeError: unsupported grad type: Float8_e4m3fn",
        ),
    ),
    KnownCause(
        "dtypes_differ",
        pattern=(
            r"should be the same$|Expected attn_mask dtype|(?:to|must) have the same dtype|expected scalar type"
            r"|unscale FP16|'Float8"
        ),
        remedy=(
            "weights of different data types meet: set dtype = 'bfloat16' in [model] and [adapter], and use "
            "bf16 files; if it recurs, update the trainer and its submodules"
        ),
        remedy_zh=(
            "不同数据类型的权重相遇：请在 [model] 与 [adapter] 中设置 dtype = 'bfloat16'，并使用 bf16 文件；若"
            "再次发生，请更新训练器及其子模块"
        ),
        examples=(
            "RuntimeError: expected scalar type Float but found BFloat16",
            "RuntimeError: Input type (float) and bias type (c10::BFloat16) should be the same",
            "RuntimeError: mat1 and mat2 must have the same dtype, but got BFloat16 and Float",
            "RuntimeError: Expected attn_mask dtype to be bool or float or to match query dtype",
            "ValueError: Attempting to unscale FP16 gradients.",
            (
                '  File "/t/utils/offloading.py", line 9, in weights_to_device\n'
                "NotImplementedError: \"copy_\" not implemented for 'Float8_e4m3fn'"
            ),
        ),
    ),
    KnownCause(
        "half_precision",
        pattern=r"not implemented for 'Half'",
        remedy="the CPU cannot compute in float16: set dtype = 'bfloat16' in [model]",
        remedy_zh="CPU 不能以 float16 计算：在 [model] 中设置 dtype = 'bfloat16'",
        examples=("RuntimeError: \"addmm_impl_cpu_\" not implemented for 'Half'",),
    ),
    KnownCause(
        "bf16_for_finetune",
        pattern=r"full finetune a quantized|floating point and complex dtype can require",
        remedy="use the bf16 file, set diffusion_model_dtype, or add [adapter]",
        remedy_zh="使用 bf16 文件，设置 diffusion_model_dtype，或加上 [adapter]",
        examples=(
            "NotImplementedError: Cannot full finetune a quantized model",
            "RuntimeError: only Tensors of floating point and complex dtype can require gradients",
        ),
    ),
    KnownCause(
        "dtype_name",
        pattern=(
            r"KeyError: '((?:nf4|bf16|fp16|fp32|fp8|half|int8|bnb|float|float8_e4m3)(?=')"
            r"|[^']{1,80}(?='.*\[data type\]$))"
        ),
        remedy=(
            "`{what}` is not a data type of the trainer: use bfloat16, float16, float32, float8, float8_e4m3fn "
            "or float8_e5m2"
        ),
        remedy_zh=(
            "`{what}` 不是训练器的数据类型：请写 bfloat16、float16、float32、float8、float8_e4m3fn 或 float8_e5m2"
        ),
        examples=(
            "KeyError: 'nf4'",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    x = DTYPE_MAP[adapter_config['dtype']]\n"
                "KeyError: 'nvfp4'"
            ),
        ),
    ),
    KnownCause(
        "model_nan",
        pattern=r"to satisfy the constraint Real\(\)",
        remedy=(
            "the VAE or a text encoder computed NaN: set dtype = 'bfloat16' in [model], as float16 overflows "
            "in many of them, and check that they belong to the model"
        ),
        remedy_zh=(
            "VAE 或文本编码器算出了 NaN：请在 [model] 中设置 dtype = 'bfloat16'，因为 float16 在许多模型中会溢"
            "出，并检查它们是否属于该模型"
        ),
        examples=("ValueError: parameter loc to satisfy the constraint Real(), but found invalid values",),
    ),
    KnownCause(
        "loss_overflowed",
        pattern=(
            r"loss scale already at minimum|is non-finite, so|[Ll]oss is (?:NaN|nan)|returned nan values"
            r"|histogram is empty|contains either `inf`|contained non-finite|algorithm failed to converge"
        ),
        remedy="the loss overflowed: lower the learning rate or use dtype bfloat16",
        remedy_zh="损失溢出：降低学习率，或使用 dtype bfloat16",
        examples=(
            "ValueError: The histogram is empty, please file a bug report.",
            "RuntimeError: The total norm of order 2.0 for gradients is non-finite, so it cannot be clipped.",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/deepspeed/a.py", line 9, in _take_model_step\n'
                "RuntimeError: linalg.svd: the input contained non-finite values"
            ),
            "Exception: Current loss scale already at minimum - cannot decrease scale anymore.",
            "RuntimeError: Loss is NaN at step 9",
            "RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.",
            "ValueError: The gradient contains either `inf` or `nan`",
            "torch._C._LinAlgError: linalg.svd: The algorithm failed to converge",
        ),
    ),
)
