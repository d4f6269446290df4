"""Adapters."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "adapter_rank",
        pattern=r"size mismatch for [\w.]{1,200}lora_A[\w.]{1,50}: copying a param with shape torch\.Size\(\[(\d{1,6})",
        remedy="set `rank` in [adapter] to {what}, the rank of the adapter that is loaded",
        remedy_zh="将 [adapter] 的 `rank` 设为 {what}，即所加载的适配器的秩",
        examples=(
            (
                "RuntimeError: Error(s) in loading state_dict for WanModel:\n"
                "\tsize mismatch for a.lora_A.default.weight: copying a param with shape torch.Size([16, 8]) from"
            ),
        ),
    ),
    KnownCause(
        "one_adapter",
        pattern=r"(?:No|Multiple) safetensors files? found",
        remedy="set init_from_existing to the directory of one saved adapter",
        remedy_zh="在 init_from_existing 中填写一个已保存的适配器的目录",
        examples=("RuntimeError: Multiple safetensors files found in /a",),
    ),
    KnownCause(
        "adapter_format",
        pattern=(
            r"key (?:\S{0,300}\.)?(?:lora_(?:unet|te\d?|transformer|up|down)[_.]|alpha |hada_w\d|dora_scale)"
            r"\S{0,300} ?is not in the model"
        ),
        remedy=(
            "the adapter at init_from_existing is in another format, such as that of kohya's scripts: use one "
            "that this trainer saved for the same model, or convert it first (its keys need lora_A and lora_B)"
        ),
        remedy_zh=(
            "init_from_existing 处的适配器是另一种格式，例如 kohya 脚本的格式：请使用本训练器为同一模型保存的适"
            "配器，或先转换它（其键需要 lora_A 与 lora_B）"
        ),
        examples=(
            "RuntimeError: modified_state_dict key lora_unet_a.alpha is not in the model parameters",
            "RuntimeError: modified_state_dict key a.lora_up.default.weight is not in the model",
        ),
    ),
    KnownCause(
        "other_adapter",
        pattern=r"is not in the model parameters",
        remedy="init_from_existing names an adapter of another model or kind: use one of the same model and kind",
        remedy_zh="init_from_existing 是另一个模型或另一种类的适配器：请填写属于此模型的",
        examples=("RuntimeError: modified_state_dict key x is not in the model parameters",),
    ),
    KnownCause(
        "module_kind",
        pattern=r"Target module .{1,300} is not supported",
        remedy="an adapter cannot train this kind of module: leave it out with exclude_modules in [adapter]",
        remedy_zh="适配器不能训练这类模块：请在 [adapter] 中用 exclude_modules 排除它",
        examples=("ValueError: Target module Conv3d() is not supported.",),
    ),
    KnownCause(
        "nothing_excluded",
        pattern=r"All modules were excluded|Target modules .* not found",
        remedy="correct exclude_modules: it excludes everything from training",
        remedy_zh="改正 exclude_modules：没有剩下可训练的内容",
        examples=(
            "ValueError: All modules were excluded. This is likely unintended.",
            "ValueError: Target modules {'to_q'} not found in the base model.",
        ),
    ),
    KnownCause(
        "nothing_trained",
        pattern=r"does not require grad|None of the inputs have requires_grad|empty parameter list",
        remedy="no parameter is trained: check exclude_modules and learning rates of 0",
        remedy_zh="检查 exclude_modules 与为 0 的学习率：没有剩下可训练的内容",
        examples=(
            "ValueError: optimizer got an empty parameter list",
            "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn",
            "ValueError: None of the inputs have requires_grad=True",
        ),
    ),
    KnownCause(
        "no_alpha",
        pattern=r"NotImplementedError: .*forces alpha",
        remedy="remove `alpha` from [adapter]: the trainer sets it to the rank",
        remedy_zh="从 [adapter] 中去掉 `alpha`：训练器把它设为 rank",
        examples=("NotImplementedError: This script forces alpha=rank to make the saved format simpler",),
    ),
)
