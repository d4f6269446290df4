"""Code that Triton and torch.compile compile while the trainer runs."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "triton_missing",
        pattern=r"(?i)triton is not available|working triton installation|libtriton",
        remedy="install triton in the trainer's environment, or set compile = false",
        remedy_zh="请在训练器的环境中安装 triton，或设置 compile = false",
        examples=(
            "torch._inductor.exc.TritonMissing: Cannot find a working triton installation.",
            "RuntimeError: Triton is not available on this platform",
            "RuntimeError: failed to load libtriton",
        ),
    ),
    KnownCause(
        "program_not_executable",
        pattern=r"PermissionError.*/(?:ptxas|cuobjdump|nvdisasm|nvcc|ninja|gcc|cc|[gc]\+\+)'|Exec format error",
        remedy=(
            "the program in the error cannot be executed: make it executable (`chmod +x`), or move it, with "
            "the trainer's environment, to a disk that allows execution (mounted without noexec); if it is for "
            "another kind of processor, reinstall its package"
        ),
        remedy_zh=(
            "错误中的程序不能执行：请使其可执行（`chmod +x`），或把它连同训练器的环境移到允许执行的磁盘（挂载时"
            "不带 noexec）；若它属于另一种处理器，请重新安装其软件包"
        ),
        examples=(
            "PermissionError: [Errno 13] Permission denied: '/v/triton/backends/nvidia/bin/ptxas'",
            "OSError: [Errno 8] Exec format error: '/v/ptxas'",
        ),
    ),
    KnownCause(
        "triton_old",
        pattern=r"(?i:ptxas)|PassManager::run failed",
        remedy="this Triton does not know the GPU: install a newer PyTorch with its Triton, or set compile = false",
        remedy_zh="此 Triton 不认识该 GPU：请安装更新的 PyTorch 及其 Triton，或设置 compile = false",
        examples=(
            "triton.runtime.errors.PTXASError: PTXAS error: Internal Triton PTX codegen error",
            "RuntimeError: ptxas fatal   : Value 'sm_120' is not defined for option 'gpu-name'",
            "RuntimeError: PassManager::run failed",
        ),
    ),
    KnownCause(
        "muon_compiled",
        pattern=r"torch\._(?:dynamo|inductor)",
        within=r"/optimizers/generic_optim\.py",
        remedy=(
            "GenericOptim always compiles muon, adamuon and normuon, and this failed: set them to false in "
            "[optimizer], or install the newest PyTorch with its Triton"
        ),
        remedy_zh=(
            "GenericOptim 总会编译 muon、adamuon 与 normuon，而编译失败了：请在 [optimizer] 中把它们设为 false"
            "，或安装最新的 PyTorch 及其 Triton"
        ),
        examples=(
            (
                '  File "/t/optimizers/generic_optim.py", line 9, in check_params\n'
                "torch._dynamo.exc.FailOnRecompileLimitHit: recompile_limit"
            ),
        ),
    ),
    KnownCause(
        "compile_off",
        pattern=(
            r"torch\._dynamo|torch\._inductor|(?:Dynamo|compile) is not supported on Python"
            r"|BackendCompilerFailed"
            r"|triton\.(?:compiler|runtime)|triton GPU"
        ),
        remedy="set compile = false",
        remedy_zh="设置 compile = false",
        is_guess=True,
        examples=(
            "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:",
            "torch._inductor.exc.LoweringException: AssertionError",
            "RuntimeError: Dynamo is not supported on Python 3.14+",
            "triton.compiler.errors.CompilationError: at 1:0:",
            "RuntimeError: failed to find a triton GPU backend",
        ),
    ),
    KnownCause(
        "checkpointing",
        pattern=(
            r"backward through the graph a second time|modified by an inplace operation|CheckpointError"
            r"|Recomputed values|in an in-place operation"
        ),
        remedy=(
            "set compile = false; if it recurs, set the other kind of activation_checkpointing (true instead "
            "of 'unsloth', or the reverse)"
        ),
        remedy_zh=(
            "设置 compile = false；若再次发生，请改用另一种 activation_checkpointing（以 true 代替 'unsloth'，或相反）"
        ),
        examples=(
            "torch.utils.checkpoint.CheckpointError: Recomputed values for the following tensors",
            "RuntimeError: Trying to backward through the graph a second time",
            (
                "RuntimeError: one of the variables needed for gradient computation has been modified by an "
                "inplace operation"
            ),
            "RuntimeError: a leaf Variable that requires grad is being used in an in-place operation.",
        ),
    ),
    KnownCause(
        "checkpointing_value",
        pattern=r"activation_checkpointing=\S{1,60} is not implemented",
        remedy="set activation_checkpointing to true, false or 'unsloth'",
        remedy_zh="把 activation_checkpointing 设为 true、false 或 'unsloth'",
        examples=("NotImplementedError: activation_checkpointing=unslothh is not implemented",),
    ),
)
