"""The trainer's checkout and its submodules."""

from api.domain.tasks.cause import CauseCode
from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "trainer_file",
        pattern=r"(?:: |['\"])configs/",
        cause=CauseCode.MISSING_FILE,
        detail="a file of the trainer was not found",
        detail_zh="找不到训练器自己的文件",
        remedy=(
            "run `git checkout -- configs` in the trainer's directory (DIFFUSION_PIPE_ROOT), which restores its files"
        ),
        remedy_zh="在训练器的目录（DIFFUSION_PIPE_ROOT）中运行 `git checkout -- configs`，以恢复其文件",
        examples=(
            (
                '  File "/t/utils/dataset.py", line 9, in latents_map_fn\n'
                "FileNotFoundError: [Errno 2] No such file or directory: 'configs/qwen3_06b/tokenizer.json'"
            ),
            (
                '  File "/t/utils/dataset.py", line 9, in latents_map_fn\n'
                "OSError: Can't load the configuration of 'configs/qwen3_06b'."
            ),
        ),
    ),
    KnownCause(
        "windows",
        pattern=r"use_libuv was requested|\bLNK\d{4}\b|\[WinError \d+\]|DLL load failed",
        remedy="the trainer does not run on Windows: run it, with this service, on Linux, or on Windows in WSL2",
        remedy_zh="训练器不能在 Windows 上运行：请与本服务一起在 Linux 上运行，或在 Windows 的 WSL2 中运行",
        examples=(
            "RuntimeError: use_libuv was requested but PyTorch was build without libuv support",
            "RuntimeError: LINK : fatal error LNK1181: cannot open input file 'cuda.lib'",
            "OSError: [WinError 126] The specified module could not be found.",
            "ImportError: DLL load failed while importing _C: The specified module could not be found.",
        ),
    ),
    KnownCause(
        "merge_conflict",
        pattern=r"\[merge conflict\]$",
        remedy=(
            "a file of the trainer has the marks of an unfinished merge: run `git status` in its directory, "
            "and `git checkout HEAD -- FILE` for the file that the lines above the error name"
        ),
        remedy_zh=(
            "训练器的某个文件中留有未完成的合并标记：请在其目录中运行 `git status`，并对错误上方的行所指出的文"
            "件运行 `git checkout HEAD -- FILE`"
        ),
        examples=('  File "/t/train.py", line 9\n    <<<<<<< HEAD\n    ^^\nSyntaxError: invalid syntax',),
    ),
    KnownCause(
        "comfy_mismatch",
        pattern=(
            r"assert a\.shape\[0\] == 1|'bool' object has no attribute 'contiguous'"
            r"|module 'comfy(?!_kitchen|_aimdo)[\w.]*' has no attribute"
            r"|cannot import name '\w{1,80}' from '(?:comfy(?!_kitchen|_aimdo)\w*|submodules)\b"
        ),
        remedy=(
            "the submodule ComfyUI does not match the trainer: run `git pull` and then "
            "`git submodule update --init --recursive` in the trainer's directory"
        ),
        remedy_zh=(
            "子模块 ComfyUI 与训练器不匹配：请在训练器的目录中先运行 `git pull`，再运行 "
            "`git submodule update --init --recursive`"
        ),
        examples=(
            "ImportError: cannot import name 'InputImpl' from 'comfy_api.latest' (/t/x.py)",
            "AttributeError: 'bool' object has no attribute 'contiguous'",
            "AttributeError: module 'comfy.latent_formats' has no attribute 'Flux2'",
            "ImportError: cannot import name 'Flux2' from 'comfy.latent_formats' (/t/submodules/ComfyUI/x.py)",
            "ImportError: cannot import name 'latent_formats' from 'comfy' (/t/submodules/ComfyUI/x.py)",
            (
                '  File "/t/submodules/ComfyUI/comfy/ldm/modules/attention.py", line 9, in forward\n'
                "    assert a.shape[0] == 1\n"
                "AssertionError"
            ),
        ),
    ),
    KnownCause(
        "submodules",
        pattern=(
            r"No module named '(?:comfy(?:_api|_execution|_extras)?|hyvideo|hyimage|ltx_video|cosmos1"
            r"|hi_diffusers"
            r"|omnigen2|flow|lumina_2|models|src)\b"
        ),
        remedy="run `git submodule update --init --recursive` in the trainer's directory",
        remedy_zh="在训练器的目录中运行 `git submodule update --init --recursive`",
        examples=(
            "ModuleNotFoundError: No module named 'comfy.model_management'",
            "ModuleNotFoundError: No module named 'comfy_api'",
            "ModuleNotFoundError: No module named 'hyimage'",
        ),
    ),
)
