"""Optimizers and learning rates."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "quoted_number",
        pattern=(
            r"not supported between instances of (?:'\w+' and 'str'|'str' and '\w+')"
            r"|must be real number, not str"
        ),
        within=r"in (?:get_optimizer|enable_block_swap)$",
        remedy="a number is written as text: write it without quotes, such as lr = 2e-5 or blocks_to_swap = 20",
        remedy_zh="某个数字被写成了文本：请去掉引号，例如 lr = 2e-5 或 blocks_to_swap = 20",
        examples=(
            (
                '  File "/t/train.py", line 822, in get_optimizer\n'
                "TypeError: '<=' not supported between instances of 'float' and 'str'"
            ),
            '  File "/t/train.py", line 9, in get_optimizer\nTypeError: must be real number, not str',
        ),
    ),
    KnownCause(
        "betas",
        pattern=r"values to unpack \(expected (\d)",
        within=r"in get_optimizer$",
        remedy="set `betas` in [optimizer] to a list of {what} numbers, as this optimizer expects",
        remedy_zh="请把 [optimizer] 中的 `betas` 设为含 {what} 个数字的列表，这是该优化器所要求的",
        examples=("  x, in get_optimizer\nValueError: not enough values to unpack (expected 3, got 2)",),
    ),
    KnownCause(
        "two_betas",
        pattern=r"assert len\(betas\) == 2",
        remedy="beta2_half_life needs `betas` with two numbers in [optimizer], such as [0.9, 0.99]",
        remedy_zh="beta2_half_life 需要 [optimizer] 中含两个数字的 `betas`，例如 [0.9, 0.99]",
        examples=("    assert len(betas) == 2\nAssertionError",),
    ),
    KnownCause(
        "not_fused",
        pattern=r"`?fused=True`? requires",
        remedy=("remove `fused` from [optimizer]: the trained parameters are not all on a GPU, or not floating point"),
        remedy_zh="请从 [optimizer] 中去掉 `fused`：所训练的参数并非都在 GPU 上，或不是浮点数",
        examples=("RuntimeError: `fused=True` requires all the params to be floating point Tensors",),
    ),
    KnownCause(
        "hadamard",
        pattern=r"fast_hadamard_transform",
        remedy=(
            "this projection of GenericOptim needs a package: run "
            "`pip install git+https://github.com/Dao-AILab/fast-hadamard-transform` with the trainer's Python, "
            "or use another proj_type"
        ),
        remedy_zh=(
            "GenericOptim 的这种投影需要一个软件包：请用训练器的 Python 运行 "
            "`pip install git+https://github.com/Dao-AILab/fast-hadamard-transform`，或使用其他 proj_type"
        ),
        examples=("ModuleNotFoundError: No module named 'fast_hadamard_transform'",),
    ),
    KnownCause(
        "optimizer_value",
        pattern=(
            r"(?:Invalid (?=(?:beta|epsilon|learning rate|weight_decay|momentum|lr)\b)"
            r"|\[-\] (?=\w+ .{1,60} must be ))(\w+)"
        ),
        remedy="the optimizer rejects the value of `{what}`: correct it in [optimizer]",
        remedy_zh="优化器不接受 `{what}` 的值：请在 [optimizer] 中改正",
        examples=(
            "ValueError: Invalid beta parameter at index 1: 1.0",
            "ValueError: [-] learning_rate -1e-05 must be non-negative",
        ),
    ),
    KnownCause(
        "lr_or_no_release",
        pattern=r"KeyError: 'lr'",
        remedy="remove gradient_release, or set `lr` in [optimizer]",
        remedy_zh="去掉 gradient_release，或在 [optimizer] 中设置 `lr`",
        examples=("KeyError: 'lr'",),
    ),
    KnownCause(
        "unknown_argument",
        pattern=r"unexpected keyword argument '(\w{1,80})'",
        remedy="remove `{what}` from [optimizer]: this optimizer has no such argument",
        remedy_zh="从 [optimizer] 中去掉 `{what}`：那里的每个键都会成为参数，而此优化器不接受它",
        examples=(
            (
                '  File "/t/train.py", line 822, in get_optimizer\n'
                "TypeError: Thing.__init__() got an unexpected keyword argument 'x'"
            ),
        ),
    ),
    KnownCause(
        "optimizer_name",
        pattern=r"module '?pytorch_optimizer'? has no attribute '(\w{1,80})'",
        remedy="correct [optimizer].type: pytorch_optimizer has no `{what}` (names are case-sensitive)",
        remedy_zh="改正 [optimizer].type：pytorch_optimizer 中没有 `{what}`，大小写有区别",
        examples=("AttributeError: module 'pytorch_optimizer' has no attribute 'prodigy'",),
    ),
    KnownCause(
        "optimizer_unfit",
        pattern=(
            r"missing \d+ required positional arguments?: '(?:model|base_optimizer|optimizer)'|NoClosureError"
            r"|requires closure|only supports 2D param|'ScheduleFree\w{0,40}' object has no attr"
        ),
        remedy=(
            "the trainer cannot use this optimizer, as it needs more than a list of parameters and a call for "
            "each step: set another type in [optimizer], such as adamw_optimi or Prodigy"
        ),
        remedy_zh=(
            "训练器无法使用这个优化器，因为它需要的不只是参数列表和每步一次调用：请在 [optimizer] 中设置其他类"
            "型，例如 adamw_optimi 或 Prodigy"
        ),
        examples=(
            "TypeError: AdamMini.__init__() missing 1 required positional argument: 'model'",
            "pytorch_optimizer.base.exception.NoClosureError: closure is needed",
            "RuntimeError: SAM requires closure",
            "ValueError: Muon only supports 2D parameters",
            "AttributeError: 'ScheduleFreeWrapper' object has no attribute 'param_groups'",
        ),
    ),
    KnownCause(
        "lr_needed",
        pattern=r"missing 1 required positional argument: 'lr'|missing \d+ required positional argument",
        remedy="set `lr` and all other required arguments of the optimizer in [optimizer]",
        remedy_zh="在 [optimizer] 中设置 `lr`（以及优化器所需的其他参数）",
        examples=(
            (
                '  File "/t/train.py", line 9, in get_optimizer\n'
                "TypeError: Prodigy.__init__() missing 1 required positional argument: 'lr'"
            ),
        ),
    ),
    KnownCause(
        "lr_scheduler",
        pattern=r"Unknown lr_scheduler",
        remedy="set lr_scheduler to 'constant', 'linear' or 'cosine'",
        remedy_zh="请写 lr_scheduler = 'constant'、'linear' 或 'cosine'",
        examples=("NotImplementedError: Unknown lr_scheduler: poly",),
    ),
)
