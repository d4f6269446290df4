"""How the trainer is started, and packages that it misses."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "install_named",
        pattern=(
            r"(?:Import|Runtime|Value)Error: (?:.*pip install (?:-U |--upgrade )?[`'\"]?|(?=\w{1,40} backend is)"
            r"|.*requires (?:the )?(?!following)(?=[\w.-]{1,60} (?:library|package)))([\w.-]{1,60})"
        ),
        remedy="install `{what}`, or its newest version, in the trainer's environment",
        remedy_zh="在训练器的环境中安装 `{what}` 或其最新版本",
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "ImportError: a device_map requires Accelerate: `pip install 'accelerate>=0.26'`"
            ),
        ),
    ),
    KnownCause(
        "other_python",
        pattern=r"python[\d.]{0,6}: (?:No module named |Error while finding module spec.{1,80}\(ModuleNotFound)",
        remedy=(
            "this Python is not that of the trainer, or lacks its packages: set DIFFUSION_PIPE_PYTHON to the "
            "Python of the trainer's environment, or run `pip install -r requirements.txt` with it in the "
            "trainer's directory"
        ),
        remedy_zh=(
            "这个 Python 不属于训练器的环境，或缺少其软件包：请把 DIFFUSION_PIPE_PYTHON 设为训练器环境的 Python"
            "，或在训练器的目录中用它运行 `pip install -r requirements.txt`"
        ),
        examples=(
            "/usr/bin/python3: No module named deepspeed",
            (
                "/v/python3: Error while finding module specification for 'a.b' (ModuleNotFoundError: No module "
                "named 'a')"
            ),
        ),
    ),
    KnownCause(
        "no_launcher",
        pattern=r"No module named 'mpi4py'|environment variable (?:RANK|WORLD_SIZE|MASTER_\w+) expected",
        remedy=(
            "train.py was started without DeepSpeed's launcher: start it with "
            "`deepspeed --num_gpus=1 train.py --deepspeed --config …`; mpi4py is not needed"
        ),
        remedy_zh=(
            "train.py 没有通过 DeepSpeed 的启动器启动：请用 "
            "`deepspeed --num_gpus=1 train.py --deepspeed --config …` 启动；不需要 mpi4py"
        ),
        examples=(
            "ModuleNotFoundError: No module named 'mpi4py'",
            (
                "ValueError: Error initializing torch.distributed using env:// rendezvous: environment variable "
                "RANK expected, but not set"
            ),
        ),
    ),
    KnownCause(
        "own_module",
        pattern=r"No module named '(utils|optimizers)\b",
        remedy=(
            "a file of the trainer is missing, or another package named `{what}` hides its own: run `git pull` "
            "in the trainer's directory, and `pip uninstall {what}` with its Python"
        ),
        remedy_zh=(
            "训练器缺少某个文件，或另一个名为 `{what}` 的软件包遮蔽了它自己的模块：请在训练器的目录中运行 "
            "`git pull`，并用其 Python 运行 `pip uninstall {what}`"
        ),
        examples=("ModuleNotFoundError: No module named 'utils.patches'",),
    ),
    KnownCause(
        "install_module",
        pattern=(
            r"(?:NotFound|Import)Error: .*?(?:No module named '|your environment: |metadata was found for )"
            r"([\w.-]{1,80}?)(?:'|[.,] |$)"
        ),
        remedy="install `{what}` in the trainer's environment",
        remedy_zh="在训练器的环境中安装 `{what}`",
        names_module=True,
        examples=(
            "ModuleNotFoundError: No module named 'xformers'",
            "ModuleNotFoundError: No module named 'comfy_kitchen'",
            (
                "ImportError: This file requires the following packages that were not found in your environment: "
                "einops. Run"
            ),
            "ModuleNotFoundError: No module named 'cv2'",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    import deepspeed\n"
                '  File "/v/site-packages/tensorboard/a.py", line 9, in <module>\n'
                "ModuleNotFoundError: No module named 'optimi'"
            ),
            (
                '  File "/t/models/flux.py", line 9, in __init__\n'
                '  File "/v/site-packages/transformers/tokenization_a.py", line 9, in f\n'
                "PackageNotFoundError: No package metadata was found for bitsandbytes"
            ),
        ),
    ),
    KnownCause(
        "torch_with_cuda",
        pattern=r"not compiled with CUDA|torch\._C' has no attribute '_cuda_|doesn't have NCCL built in",
        remedy="install a PyTorch with CUDA in the trainer's environment",
        remedy_zh="在训练器的环境中安装带 CUDA 的 PyTorch",
        examples=(
            "AttributeError: module 'torch._C' has no attribute '_cuda_setDevice'",
            "RuntimeError: Distributed package doesn't have NCCL built in",
            "AssertionError: Torch not compiled with CUDA enabled",
        ),
    ),
    KnownCause(
        "hostfile",
        pattern=r"[Hh]ostfile contains|[Hh]ostfile is",
        remedy="DeepSpeed reads the file /job/hostfile: correct its lines (`localhost slots=4`), or remove it",
        remedy_zh="DeepSpeed 读取文件 /job/hostfile：请改正其中的行（`localhost slots=4`），或删除该文件",
        examples=(
            "ValueError: Hostfile contains a bad entry: worker-1, unable to proceed with launching",
            "ValueError: Hostfile is empty, unable to proceed with launching.",
        ),
    ),
    KnownCause(
        "no_trainer",
        pattern=r"can't open file '(.{1,200}?)': \[Errno",
        remedy=(
            "there is no `{what}`: set DIFFUSION_PIPE_ROOT to the checkout of the trainer, and check that its "
            "user can read it"
        ),
        remedy_zh="没有 `{what}`：请把 DIFFUSION_PIPE_ROOT 设为训练器的检出目录，并确认其用户能够读取",
        examples=("python: can't open file '/t/train.py': [Errno 2] No such file or directory",),
    ),
    KnownCause(
        "line_ends",
        pattern=r"(?:\benv: |bad interpreter: ).{1,80}(?:\\r|\^M)",
        remedy=(
            "a script has line ends of Windows: convert it (`sed -i 's/\\r$//' FILE`), or clone the trainer "
            "again on Linux"
        ),
        remedy_zh="某个脚本使用了 Windows 的换行：请转换它（`sed -i 's/\\r$//' FILE`），或在 Linux 上重新克隆训练器",
        examples=("/usr/bin/env: 'bash\\r': No such file or directory",),
    ),
    KnownCause(
        "no_program",
        pattern=r"\benv: |: (?:bad interpreter|command not found)|cannot execute",
        remedy=(
            "a program cannot be started: set DIFFUSION_PIPE_PYTHON to the Python of the trainer's "
            "environment, and create that environment again if it was moved"
        ),
        remedy_zh="无法启动某个程序：请把 DIFFUSION_PIPE_PYTHON 设为训练器环境的 Python；若该环境被移动过，请重新创建",
        examples=(
            "/usr/bin/env: 'python': No such file or directory",
            "/bin/sh: 1: deepspeed: command not found",
            "/bin/sh: 1: cannot execute: required file not found",
        ),
    ),
    KnownCause(
        "other_flags",
        pattern=r"(?:error: unrecognized arguments|error: argument)",
        remedy="this version of the trainer has other options: update the trainer",
        remedy_zh="训练器的这个版本有不同的命令行参数：请更新它",
        examples=("train.py: error: unrecognized arguments: --x",),
    ),
)
