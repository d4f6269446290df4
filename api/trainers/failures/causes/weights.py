"""Files of weights that are missing, damaged, or in another form."""

from api.domain.tasks.cause import CauseCode
from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import DAMAGED, NO_HEADER

CAUSES = (
    KnownCause(
        "incomplete_model",
        pattern=(
            r"[Ee]rror no file named|does not appear to have a file named|[Uu]nable to find .*\.safetensors"
            r"|Unrecognized model in|does not contain the valid metadata"
            r"|[Cc]an't load (?:the )?(?:tokenizer|config|model|image processor|feature extractor|processor)"
        ),
        cause=CauseCode.MISSING_FILE,
        detail="the directory of a model is incomplete",
        detail_zh="某个模型的目录不完整",
        remedy="download all files of the model into it, or correct the path if it names another directory",
        remedy_zh="请把该模型的所有文件下载到该目录；若路径指向了别的目录，请改正它",
        examples=(
            "OSError: /m/flux does not appear to have a file named config.json.",
            "OSError: Can't load tokenizer for '/m/llama'. If you were trying to load it",
            "OSError: Can't load the configuration of '/m/clip'. If you were trying",
            "OSError: Error no file named model_index.json found in directory /m/FLUX.1-dev.",
            "OSError: Unable to find a diffusion_pytorch_model.safetensors in /m/a",
            "ValueError: Unrecognized model in /m/llm. Should have a `model_type` key",
            "OSError: The safetensors archive passed at /m/a.safetensors does not contain the valid metadata.",
        ),
    ),
    KnownCause(
        "missing_tokenizer",
        pattern=(
            r"^Exception: No such file or directory \(os error 2\)$"
            r"|missing \d+ required positional arguments?: 'vocab_file'"
        ),
        within=r"/(?:tokenization_|convert_slow)",
        cause=CauseCode.MISSING_FILE,
        detail="a file of a tokenizer was not found",
        detail_zh="找不到某个 tokenizer 的文件",
        remedy=(
            "complete the directory of the text encoder in [model] (it needs tokenizer.json); if [model] names "
            "single files only, the tokenizer belongs to the trainer: run `git checkout -- configs` in its "
            "directory"
        ),
        remedy_zh=(
            "请补全 [model] 中文本编码器的目录（它需要 tokenizer.json）；若 [model] 只填写单个文件，则 "
            "tokenizer 属于训练器：请在其目录中运行 `git checkout -- configs`"
        ),
        examples=(
            (
                '  File "/v/transformers/tokenization_utils_base.py", line 9, in _from_pretrained\n'
                "TypeError: A.__init__() missing 2 required positional arguments: 'vocab_file'"
            ),
            (
                '  File "/t/models/flux.py", line 9, in __init__\n'
                '  File "/v/site-packages/transformers/tokenization_a.py", line 9, in f\n'
                "Exception: No such file or directory (os error 2)"
            ),
        ),
    ),
    KnownCause(
        "missing_model_file",
        pattern=r"^FileNotFoundError: .*\.(?:json|safetensors|pth|pt|bin|model)'$",
        within=r'/models/[^"]*\.py", line \d+, in (?:__init__|load_diffusion_model|load_fn)$',
        cause=CauseCode.MISSING_FILE,
        detail="a file of the model was not found",
        detail_zh="找不到模型的某个文件",
        remedy=(
            "correct the path in [model], or complete the download of the model: its directory must have this file"
        ),
        remedy_zh="改正 [model] 中的路径，或把模型下载完整：它的目录里必须有这个文件",
        examples=(
            (
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "FileNotFoundError: [Errno 2] No such file or directory: '/m/wan/config.json'"
            ),
        ),
    ),
    KnownCause(
        "web_page",
        pattern=r"invalid load key, '[<{]'",
        remedy=(
            "the file is a web page or an answer of a server instead of weights, as its download was refused: "
            "download it again, for example with `hf download`"
        ),
        remedy_zh="该文件是网页或服务器的回复，而不是权重，因为下载被拒绝：请重新下载，例如用 `hf download`",
        examples=("_pickle.UnpicklingError: invalid load key, '<'.",),
    ),
    KnownCause(
        "lfs_pointer",
        pattern=r"git-lfs|invalid load key, 'v'",
        remedy="the file is only a pointer of Git LFS: run `git lfs pull` in its directory, or download it again",
        remedy_zh="该文件只是 Git LFS 的指针：请在其目录中运行 `git lfs pull`，或重新下载",
        examples=(
            "OSError: You seem to have cloned a repository without having git-lfs installed.",
            "_pickle.UnpicklingError: invalid load key, 'v'.",
        ),
    ),
    KnownCause(
        "weights_missing",
        pattern=r"out of meta tensor|on the meta device|following keys are missing|device meta\b",
        remedy=(
            "the model's files lack weights: check that all of its parts are there (model-00001-of-…, as its "
            "index lists them) and belong to its config.json, or download it again"
        ),
        remedy_zh=(
            "模型的文件缺少权重：请确认其全部分片都在（model-00001-of-…，见其索引）且与 config.json 相符，或重新下载"
        ),
        examples=(
            "NotImplementedError: Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty()",
            "ValueError: weight is on the meta device, we need a `value` to put in on 0.",
            "ValueError: Cannot load <class 'X'> from /m because the following keys are missing:",
            "RuntimeError: Tensor on device cuda:0 is not on the expected device meta!",
        ),
    ),
    KnownCause(
        "no_gguf",
        pattern=r"\.gguf\b",
        remedy="files in GGUF form cannot be trained: set the bf16 or fp8 .safetensors file of the model",
        remedy_zh="GGUF 格式的文件不能训练：请填写该模型的 bf16 或 fp8 的 .safetensors 文件",
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "ValueError: Expected /m/a-Q8_0.gguf to be a safetensors file"
            ),
        ),
    ),
    KnownCause(
        "safetensors_old",
        pattern=r"Dtype not understood|KeyError: '(?:F8|F4)_|unknown dtype",
        remedy=(
            "safetensors is too old for the data type of this file: run `pip install --upgrade safetensors` "
            "with the trainer's Python, or use the bf16 file"
        ),
        remedy_zh=(
            "safetensors 太旧，不认识此文件的数据类型：请用训练器的 Python 运行 "
            "`pip install --upgrade safetensors`，或使用 bf16 文件"
        ),
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "SafetensorError: Dtype not understood: F8_E4M3"
            ),
            "KeyError: 'F8_E4M3'",
            "ValueError: unknown dtype in header",
        ),
    ),
    KnownCause(
        "json_damaged",
        pattern=r"JSONDecodeError",
        remedy=(
            "a JSON file (config.json, an index of weights, captions.json) is empty or damaged: the traceback "
            "shows which; correct it, or download it again"
        ),
        remedy_zh=(
            "某个 JSON 文件（config.json、权重索引、captions.json）为空或已损坏：堆栈信息显示是哪个；请改正或重新下载"
        ),
        examples=("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",),
    ),
    KnownCause(
        "pipeline_parts",
        pattern=r"Pipeline .{1,200} expected \{",
        remedy=(
            "the model's directory lacks a part (the error lists those expected and found): download all of its files"
        ),
        remedy_zh="模型的目录缺少某个部分（错误信息列出了需要的与找到的）：请下载其全部文件",
        examples=(
            (
                "ValueError: Pipeline <class 'diffusers.FluxPipeline'> expected {'vae'}, but only {'transformer'} "
                "were passed."
            ),
        ),
    ),
    KnownCause(
        "no_safetensors_at",
        pattern=rf"(?:{NO_HEADER}).*\[weights: (.+)\]$",
        remedy=(
            "the file at `{what}` is no safetensors file, but most often a pointer of Git LFS or a web page "
            "(then it has a few hundred bytes or kilobytes: look with `ls -l` and `head -c 200`): fetch the "
            "real one with `git lfs pull` or `hf download`"
        ),
        remedy_zh=(
            "`{what}` 处的文件不是 safetensors 文件，多半只是 Git LFS 指针或网页（那样只有几百字节或几 KB：请用"
            " `ls -l` 与 `head -c 200` 查看）：请用 `git lfs pull` 或 `hf download` 获取真正的文件"
        ),
        examples=(
            (
                "    vae = load_vae(self.model_config['vae_path'])\n"
                "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"
            ),
        ),
    ),
    KnownCause(
        "no_safetensors",
        pattern=NO_HEADER,
        remedy=(
            "a file of weights is no safetensors file, but most often a pointer of Git LFS or a web page (then "
            "it has a few hundred bytes or kilobytes: look with `ls -l` and `head -c 200`): fetch the real one "
            "with `git lfs pull` or `hf download`"
        ),
        remedy_zh=(
            "某个权重文件不是 safetensors 文件，多半只是 Git LFS 指针或网页（那样只有几百字节或几 KB：请用 "
            "`ls -l` 与 `head -c 200` 查看）：请用 `git lfs pull` 或 `hf download` 获取真正的文件"
        ),
        examples=(
            "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge",
            "SafetensorError: Error while deserializing header: header too large",
            (
                "    a(self.model_config['dtype'])\n"
                "safetensors_rust.SafetensorError: Error while deserializing header: InvalidHeader"
            ),
        ),
    ),
    KnownCause(
        "file_damaged_at",
        pattern=rf"(?:{DAMAGED}).*\[weights: (.+)\]$",
        remedy=(
            "the file at `{what}` is damaged, or its download is incomplete: download it again, and compare its size"
        ),
        remedy_zh="`{what}` 处的文件已损坏或没有下载完整：请重新下载，并核对其大小",
        examples=(
            "OSError: Unable to load weights from checkpoint file for '/m/a.safetensors' at '/m/a.safetensors'.",
            (
                "    a(self.model_config['transformer_path'])\n"
                "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer"
            ),
        ),
    ),
    KnownCause(
        "file_damaged",
        pattern=rf"{DAMAGED}|EOFError: Ran out of input|unexpected EOF",
        remedy="the file is damaged or its download is incomplete: download it again",
        remedy_zh="文件已损坏或没有下载完整：请重新下载",
        examples=(
            "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
            "SafetensorError: Error while deserializing header: HeaderTooSmall",
            "SafetensorError: Error while deserializing header: incomplete metadata, file not fully",
            "EOFError: Ran out of input",
            "RuntimeError: Invalid magic number; corrupt file?",
            (
                '  File "/t/models/wan/wan.py", line 41, in __init__\n'
                "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory"
            ),
            "OSError: Unable to load weights from pytorch checkpoint",
            "OSError: The model you are trying to load is corrupted",
            "RuntimeError: unexpected EOF, expected 9 more bytes. The file might be corrupted.",
        ),
    ),
    KnownCause(
        "plain_weights",
        pattern=r"Weights only load failed|UnpicklingError",
        remedy="the file is not a plain weights file: use its .safetensors version",
        remedy_zh="该文件不是普通的权重文件：请使用它的 .safetensors 版本",
        examples=("_pickle.UnpicklingError: Weights only load failed.",),
    ),
    KnownCause(
        "safetensors_file",
        pattern=r"Expected .* to be a safetensors file",
        remedy="set a .safetensors file in [model]",
        remedy_zh="在 [model] 中填写 .safetensors 文件",
        examples=("ValueError: Expected /m/a.pth to be a safetensors file",),
    ),
    KnownCause(
        "no_mmap",
        pattern=r"No such device \((?:os error )?19\)|\[Errno 19\]",
        remedy=(
            "the weights lie on a disk whose files cannot be mapped into memory, such as a Windows drive under "
            "WSL2 (/mnt/c) or a shared folder: copy them to a Linux disk"
        ),
        remedy_zh=(
            "权重所在磁盘的文件无法映射到内存，例如 WSL2 下的 Windows 驱动器（/mnt/c）或共享文件夹：请把它们复"
            "制到 Linux 磁盘上"
        ),
        examples=(
            "OSError: No such device (os error 19)",
            "OSError: [Errno 19] No such device",
        ),
    ),
)
