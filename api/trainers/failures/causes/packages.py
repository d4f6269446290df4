"""Python, its packages, and which versions of them fit together."""

from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import UPGRADE

CAUSES = (
    KnownCause(
        "torchcodec",
        pattern=r"Could not load libtorchcodec",
        remedy="install FFmpeg on the system, and a torchcodec that matches the trainer's version of torch",
        remedy_zh="请在系统中安装 FFmpeg，并安装与训练器的 torch 版本相配的 torchcodec",
        examples=("RuntimeError: Could not load libtorchcodec. Likely causes:",),
    ),
    KnownCause(
        "numpy_version",
        pattern=(
            r"numpy\.core\.multiarray failed|expected np\.ndarray \(got numpy|numpy\.\w+ size changed"
            r"|Numpy is not available|compiled using NumPy 1"
            r"|_ARRAY_API|module 'numpy' has no attribute|removed in the NumPy 2"
        ),
        remedy=(
            "a package was built for another version of numpy: install numpy below 2, or upgrade that package, "
            "in the trainer's environment"
        ),
        remedy_zh="某个软件包是为另一版本的 numpy 构建的：请在训练器的环境中安装低于 2 的 numpy，或升级该软件包",
        examples=(
            "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header",
            "AttributeError: module 'numpy' has no attribute 'bool'.",
            "ImportError: numpy.core.multiarray failed to import",
            "TypeError: expected np.ndarray (got numpy.ndarray)",
            "RuntimeError: Numpy is not available",
            "ImportError: A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1.0",
            "AttributeError: _ARRAY_API not found",
            "AttributeError: `np.float_` was removed in the NumPy 2.0 release.",
        ),
    ),
    KnownCause(
        "torch_family",
        pattern=(
            r"torchvision::|custom C\+\+ ops|torchaudio.*undefined symbol"
            r"|partially initialized module 'torchvision'"
        ),
        remedy=(
            "torch, torchvision and torchaudio do not belong together: install all three in one command, for "
            "the same CUDA, in the trainer's environment"
        ),
        remedy_zh="torch、torchvision 与 torchaudio 的版本不配套：请在训练器的环境中用一条命令为同一 CUDA 安装三者",
        examples=(
            "RuntimeError: operator torchvision::nms does not exist",
            "RuntimeError: Couldn't load custom C++ ops.",
            "OSError: /v/torchaudio/lib/libtorchaudio.so: undefined symbol: _ZNK5torch",
            "AttributeError: partially initialized module 'torchvision' has no attribute 'extension'",
        ),
    ),
    KnownCause(
        "setuptools",
        pattern=r"No module named '(?:pkg_resources|distutils)'",
        remedy="install setuptools below 81 in the trainer's environment",
        remedy_zh="请在训练器的环境中安装低于 81 的 setuptools",
        examples=("ModuleNotFoundError: No module named 'pkg_resources'",),
    ),
    KnownCause(
        "bitsandbytes_too_old",
        pattern=r"No module named 'triton\.ops'",
        remedy="bitsandbytes is older than this Triton: install its newest version in the trainer's environment",
        remedy_zh="bitsandbytes 比此 Triton 旧：请在训练器的环境中安装其最新版本",
        examples=("ModuleNotFoundError: No module named 'triton.ops'",),
    ),
    KnownCause(
        "required_version",
        pattern=r"normal functioning of this module, but found (\S{1,80}?)\.?(?:\s|$)",
        remedy=(
            "{what} does not fit the other packages: install the version that the error names in the trainer's "
            "environment"
        ),
        remedy_zh="{what} 与其他软件包不配套：请在训练器的环境中安装错误信息所要求的版本",
        examples=(
            (
                "ImportError: huggingface-hub<1.0 is required for a normal functioning of this module, but found "
                "hub==1.0.1."
            ),
        ),
    ),
    KnownCause(
        "transformers_too_old",
        pattern=(
            r"does not recognize this architecture|Tokenizer class \w+ does not exist|untagged enum \w+"
            r"|KeyError: '(?:qwen|gemma|llama|mistral|ministral)\w*'"
        ),
        remedy=(
            "transformers or tokenizers is too old for this model: run "
            "`pip install --upgrade transformers tokenizers` with the trainer's Python"
        ),
        remedy_zh=(
            "transformers 或 tokenizers 对此模型来说太旧：请用训练器的 Python 运行 "
            "`pip install --upgrade transformers tokenizers`"
        ),
        examples=(
            "ValueError: The checkpoint has model type `a` but Transformers does not recognize this architecture.",
            "KeyError: 'qwen2_5_vl'",
            "Exception: data did not match any variant of untagged enum ModelWrapper at line 757443 column 3",
            "ValueError: Tokenizer class Qwen2Tokenizer does not exist or is not currently imported.",
        ),
    ),
    KnownCause(
        "protobuf_version",
        pattern=r"Protobuf Gencode|Descriptors cannot be created directly|'runtime_version' from 'google\.protobuf",
        remedy=(
            "protobuf does not fit the packages that use it: run "
            "`pip install --upgrade protobuf tensorboard wandb` with the trainer's Python"
        ),
        remedy_zh=(
            "protobuf 的版本与使用它的软件包不符：请用训练器的 Python 运行 "
            "`pip install --upgrade protobuf tensorboard wandb`"
        ),
        examples=(
            "VersionError: Detected incompatible Protobuf Gencode/Runtime versions when loading x",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    import deepspeed\n"
                '  File "/v/site-packages/tensorboard/a.py", line 9, in <module>\n'
                "TypeError: Descriptors cannot be created directly."
            ),
            (
                "ImportError: cannot import name 'runtime_version' from 'google.protobuf' "
                "(/v/google/protobuf/__init__.py)"
            ),
        ),
    ),
    KnownCause(
        "sentencepiece",
        pattern=(
            r"(?i)sentencepiece|protobuf|ModelProto|instantiate the backend tokenizer|load vocabulary from file"
            r"|instantiate this tokenizer from a slow"
        ),
        remedy=(
            "install sentencepiece, tiktoken and protobuf in the trainer's environment; if they are there, "
            "download the model's tokenizer files again"
        ),
        remedy_zh=(
            "请在训练器的环境中安装 sentencepiece、tiktoken 与 protobuf；若已安装，请重新下载模型的 tokenizer 文件"
        ),
        examples=(
            "ImportError: T5Tokenizer requires the SentencePiece library but it was not found in your environment.",
            (
                '  File "/t/models/flux.py", line 9, in __init__\n'
                '  File "/v/site-packages/transformers/tokenization_a.py", line 9, in f\n'
                "    open(vocab)\n"
                "TypeError: expected str, bytes or os.PathLike object, not NoneType"
            ),
            "ImportError: T5Converter requires the protobuf library but it was not found in your environment.",
            "RuntimeError: Internal: could not parse ModelProto from /m/spiece.model",
            "ValueError: Couldn't instantiate the backend tokenizer from one of:",
            "OSError: Unable to load vocabulary from file.",
            "ValueError: Cannot instantiate this tokenizer from a slow version.",
        ),
    ),
    KnownCause(
        "import_failed",
        pattern=r"Failed to import (?:transformers|diffusers|peft)|Pydantic(?:Import|User)Error",
        remedy=(
            "the versions of the trainer's packages do not fit together (the lines around the error name one): "
            f"run {UPGRADE} in the trainer's directory with its Python"
        ),
        remedy_zh=(
            "训练器各软件包的版本不配套（错误附近的行指出了其中之一）：请在训练器的目录中用它的 Python 运行 "
            "`pip install --upgrade -r requirements.txt 'diffusers<0.39'`（qwen_image 无法使用更新的版本）"
        ),
        is_guess=True,
        examples=(
            "RuntimeError: Failed to import transformers.models.clip.modeling_clip because of the following error",
            "pydantic.errors.PydanticUserError: `Config` is not fully defined",
        ),
    ),
    KnownCause(
        "hidden_module",
        pattern=r"partially initialized module '(\w{1,60})' has no attribute",
        remedy=(
            "a file named {what}.py hides the package `{what}`, or it is not installed completely: rename that "
            "file in the trainer's directory, or reinstall {what}"
        ),
        remedy_zh=(
            "名为 {what}.py 的文件遮蔽了软件包 `{what}`，或该软件包安装不完整：请重命名训练器目录中的该文件，或"
            "重新安装 {what}"
        ),
        examples=("AttributeError: partially initialized module 'torch' has no attribute 'Tensor' (most likely",),
    ),
    KnownCause(
        "deepspeed_version",
        pattern=r"from 'torch\.distributed\.elastic|backward\(\) .{0,80}\bengine\b",
        remedy=(
            "this DeepSpeed fits neither the trainer nor this torch: run `pip install -r requirements.txt` in "
            "the trainer's directory with its Python, which installs the version that the trainer needs"
        ),
        remedy_zh=(
            "这个 DeepSpeed 与训练器或此 torch 不匹配：请在训练器的目录中用其 Python 运行 "
            "`pip install -r requirements.txt`，它会安装训练器需要的版本"
        ),
        examples=(
            "ImportError: cannot import name 'log' from 'torch.distributed.elastic.agent.server.api'",
            "TypeError: backward() missing 1 required positional argument: 'engine'",
        ),
    ),
    KnownCause(
        "torch_too_old",
        pattern=(
            r"module 'torch(?!\._C\b)[\w.]*' has no attribute|scaled_dot_product_attention\(\) got"
            r"|not implemented for 'BFloat16'"
        ),
        remedy=(
            "PyTorch does not fit the trainer or one of its packages, and is most often too old: install a "
            "newer one in the trainer's environment"
        ),
        remedy_zh="PyTorch 与训练器或其某个软件包不配套，多半是太旧：请在训练器的环境中安装更新的版本",
        examples=(
            "AttributeError: module 'torch' has no attribute 'float8_e4m3fn'",
            "TypeError: scaled_dot_product_attention() got an unexpected keyword argument 'enable_gqa'",
            "RuntimeError: \"upsample_nearest2d_out_frame\" not implemented for 'BFloat16'",
        ),
    ),
    KnownCause(
        "no_control_images",
        pattern=r"get_call_vae_fn.{0,40}\(\) (?:takes 1 positional|got multiple values for argument 'audio')",
        remedy=(
            "this model type does not train with control images: remove control_path from the dataset, or "
            "train an editing model of type flux, flux2 or qwen_image"
        ),
        remedy_zh=(
            "此模型类型不能用控制图训练：请从数据集中去掉 control_path，或训练类型为 flux、flux2 或 qwen_image "
            "的编辑模型"
        ),
        examples=(
            "TypeError: A.get_call_vae_fn.<locals>.fn() got multiple values for argument 'audio'",
            "TypeError: A.get_call_vae_fn.<locals>.fn() takes 1 positional argument but 2 were given",
        ),
    ),
    KnownCause(
        "versions_differ",
        pattern=(
            r"(?:(?<!__init__)|(?:Transformer\w*|Model|Block|Pipeline)\.__init__)\(\) got an unexpected keyword"
            r"|re-initialize CUDA in forked subprocess|got an unexpected keyword.*\[no optimizer\]$"
            r"|(?<!__init__)\(\) (?:takes \w+ positional|missing \d+ required)|cannot pickle '|Can't pickle"
            r"|^\[place: versions\]$|Target modules set\(\) not found|same device.*\[caching\]$"
            r"|Some tensors share memory|property '\w+' of '\w+' object has no setter"
            r"|^RecursionError.*\[lookup\]$"
            r"|cannot import name '\w{1,80}' from '(?:utils|models|optimizers)\b"
        ),
        remedy=(
            "the trainer, its submodules and its packages are of different ages: run `git pull`, `git submodule "
            f"update --init --recursive` and {UPGRADE} in the trainer's directory with its Python"
        ),
        remedy_zh=(
            "训练器、其子模块与软件包的版本不一致：请在训练器的目录中运行 `git pull`、"
            "`git submodule update --init --recursive` 与（用其 Python）"
            "`pip install --upgrade -r requirements.txt 'diffusers<0.39'`（qwen_image 无法使用更新的版本）"
        ),
        examples=(
            "TypeError: AdamW.__init__() got an unexpected keyword argument 'learning_rate'",
            "TypeError: WanAttentionBlock.forward() got an unexpected keyword argument 'x'",
            "TypeError: FluxTransformer2DModel.__init__() got an unexpected keyword argument 'pooled'",
            "TypeError: load_diffusion_model() got an unexpected keyword argument 'disable_dynamic'",
            "TypeError: Rope.forward() missing 1 required positional argument: 'device'",
            "ValueError: Target modules set() not found in the base model. Please check the target",
            "TypeError: cannot pickle '_queue.SimpleQueue' object",
            "RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA with",
            '  File "/t/m.py", line 9, in __getattr__\nRecursionError: maximum recursion depth exceeded',
            (
                '  File "/t/models/qwen_image.py", line 99, in __init__\n'
                "TypeError: Thing.__init__() got an unexpected keyword argument 'x'"
            ),
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/torch/nn/modules/module.py", line 9, in __getattr__\n'
                "AttributeError: 'FluxModel' object has no attribute 'x'"
            ),
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "AttributeError: 'Tensor' object has no attribute 'latent_dist'"
            ),
            "_pickle.PicklingError: Can't pickle <function f at 0x7f>: it's not found",
            "RuntimeError: Some tensors share memory, this will lead to duplicate memory on disk",
            "AttributeError: property 'dtype' of 'Model' object has no setter",
            "ImportError: cannot import name 'empty_cuda_cache' from 'utils.common' (/t/utils/common.py)",
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                "RuntimeError: Expected all tensors to be on the same device, but found cuda:0 and cpu!"
            ),
        ),
    ),
    KnownCause(
        "python_incomplete",
        pattern=r"No module named '(?:_(?:lzma|sqlite3|ctypes|bz2|ssl|socket|posixsubprocess|uuid)|encodings)'",
        remedy=(
            "this Python is incomplete, or PYTHONHOME points to another one: remove PYTHONHOME, and create the "
            "trainer's environment with a complete Python, such as that of uv or conda"
        ),
        remedy_zh=(
            "此 Python 不完整，或 PYTHONHOME 指向另一个 Python：请去掉 PYTHONHOME，并用完整的 Python（例如 uv "
            "或 conda 的）重新创建训练器的环境"
        ),
        examples=(
            "ModuleNotFoundError: No module named '_lzma'",
            "ModuleNotFoundError: No module named 'encodings'",
        ),
    ),
    KnownCause(
        "package_for_python",
        pattern=(
            r"No module named '(?:imp|asyncore|asynchat|smtpd|cgi|pipes|imghdr|telnetlib|crypt)'"
            r"|has no attribute '(?:ImpImporter|getargspec|coroutine|FileFinder\.find_module)'"
            r"|cannot import name '\w{1,60}' from 'collections'|module 'collections' has no attribute"
        ),
        remedy=(
            "a package is too old for this Python: upgrade the package whose file the traceback's last lines "
            "name, and pip and setuptools (`pip install --upgrade pip setuptools`), or use Python 3.12"
        ),
        remedy_zh=(
            "某个软件包对此 Python 来说太旧：请升级回溯最后几行中文件所属的软件包以及 pip 和 setuptools（"
            "`pip install --upgrade pip setuptools`），或使用 Python 3.12"
        ),
        examples=(
            "ModuleNotFoundError: No module named 'imp'",
            "AttributeError: module 'pkgutil' has no attribute 'ImpImporter'. Did you mean",
            "ImportError: cannot import name 'Iterable' from 'collections' (/lib/a.py)",
            "AttributeError: module 'collections' has no attribute 'Mapping'",
        ),
    ),
    KnownCause(
        "torch_26",
        pattern=r"requires? users to upgrade torch",
        remedy=(
            "install PyTorch 2.6 or newer in the trainer's environment, or use the .safetensors version of the file"
        ),
        remedy_zh="请在训练器的环境中安装 PyTorch 2.6 或更新的版本，或使用该文件的 .safetensors 版本",
        examples=(
            "ValueError: torch.load requires users to upgrade torch to at least v2.6",
            "ValueError: Due to a serious vulnerability in `torch.load`, we now require users to upgrade torch",
        ),
    ),
    KnownCause(
        "python_312",
        pattern=(
            r"'autocommit' is an invalid keyword|cannot import name '\w{1,80}' from 'typing'"
            r"|SyntaxError: (?:invalid syntax|f-string)|unsupported operand type\(s\) for \|"
        ),
        remedy=(
            "the trainer needs Python 3.12 or newer: create its environment with it, and set DIFFUSION_PIPE_PYTHON"
        ),
        remedy_zh="训练器需要 Python 3.12 或更新的版本：请用它重新创建训练器的环境，并设置 DIFFUSION_PIPE_PYTHON",
        examples=(
            "TypeError: 'autocommit' is an invalid keyword argument for Connection()",
            "SyntaxError: invalid syntax",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    import deepspeed\n"
                '  File "/v/site-packages/tensorboard/a.py", line 9, in <module>\n'
                "ImportError: cannot import name 'Self' from 'typing' (/lib/typing.py)"
            ),
            "TypeError: unsupported operand type(s) for |: 'type' and 'NoneType'",
        ),
    ),
    KnownCause(
        "no_offload_optimizer",
        pattern=r"torchao\.prototype\.low_bit_optim",
        remedy=(
            "the installed torchao no longer has what the optimizer `offload` uses: set another type in "
            "[optimizer], such as adamw8bitkahan, or install an older torchao that has "
            "torchao.prototype.low_bit_optim"
        ),
        remedy_zh=(
            "已安装的 torchao 不再含有优化器 `offload` 所用的部分：请在 [optimizer] 中设置其他类型，例如 "
            "adamw8bitkahan，或安装含 torchao.prototype.low_bit_optim 的较旧 torchao"
        ),
        examples=("ModuleNotFoundError: No module named 'torchao.prototype.low_bit_optim'",),
    ),
    KnownCause(
        "package_too_old",
        pattern=(
            r"(?:No module named '(?=\w{1,60}\.)|cannot import name '[\w.]{1,80}' from '"
            r"|module '(?=[\w.]{1,200}' has no))"
            r"(?!(?:comfy(?!_kitchen|_aimdo)\w*|hyvideo|hyimage|hi_diffusers|ltx_video|lumina_2|cosmos1|omnigen2"
            r"|flow|src|submodules"
            r"|utils|models|optimizers|pytorch_optimizer)\b|torch\._C' has)(\w{1,60})"
        ),
        remedy=(
            f"the wrong version of `{{what}}` is installed for the code that uses it: run {UPGRADE} in the "
            "trainer's directory with its Python; if {what} is not in that file, install its newest version"
        ),
        remedy_zh=(
            "已安装的 `{what}` 的版本与使用它的代码不符：请在训练器的目录中用它的 Python 运行 "
            "`pip install --upgrade -r requirements.txt 'diffusers<0.39'`（qwen_image 无法使用更新的版本）；若"
            "该文件中没有 {what}，请安装其最新版本"
        ),
        names_module=True,
        examples=(
            "ImportError: cannot import name 'x' from 'comfy_kitchen' (/v/x.py)",
            "ImportError: cannot import name 'QwenImagePipeline' from 'diffusers' (/x/__init__.py)",
            "AttributeError: module 'diffusers' has no attribute 'QwenImagePipeline'",
            "ImportError: cannot import name 'cached_download' from 'huggingface_hub' (/v/__init__.py)",
            "ModuleNotFoundError: No module named 'diffusers.models.modeling_flax'",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    import deepspeed\n"
                '  File "/v/site-packages/tensorboard/a.py", line 9, in <module>\n'
                "ModuleNotFoundError: No module named 'torchao.optim'"
            ),
        ),
    ),
    KnownCause(
        "bitsandbytes",
        pattern=(
            r"CUDA Setup failed|bitsandbytes.*(?:without|no) (?:GPU|CUDA) support|libbitsandbytes"
            r"|requires bitsandbytes|version of bitsandbytes|at line \d+ in file .{1,200}\.cu\b|str2optimizer"
            r"|cget_(?:managed_ptr|col_row)|native library method"
            r"|named symbol not found at line|cublasLt ran into an error"
        ),
        remedy=(
            "install the newest bitsandbytes, in a build for the trainer's CUDA; or do without: use an "
            "optimizer without 8bit, and no llama3_4bit or text_encoder_nf4"
        ),
        remedy_zh=(
            "安装与训练器的 CUDA 相配的最新 bitsandbytes；或不使用它：选择不带 8bit 的优化器，并去掉 "
            "llama3_4bit 与 text_encoder_nf4"
        ),
        examples=(
            "RuntimeError: CUDA Setup failed despite GPU being available.",
            "NameError: name 'str2optimizer32bit' is not defined",
            "AttributeError: 'NoneType' object has no attribute 'cget_managed_ptr'",
            "AttributeError: /v/libbitsandbytes_cpu.so: undefined symbol: cget_col_row_stats",
            "Error named symbol not found at line 233 in file /src/csrc/ops.cu",
            "ImportError: Using `bitsandbytes` 4-bit quantization requires bitsandbytes: `pip install`",
            "Error invalid configuration argument at line 216 in file /src/csrc/ops.cu",
            "Error named symbol not found at line 62 in file /src/csrc/ops.cu",
            "RuntimeError: bitsandbytes was compiled without GPU support",
            "ValueError: Please update to a newer version of bitsandbytes",
            "RuntimeError: Attempted to use the native library method 'cquantize' but it is missing",
            "Exception: cublasLt ran into an error!",
        ),
    ),
    KnownCause(
        "older_diffusers",
        pattern=r"QwenEmbedRope.*multiple values for argument",
        remedy="run `pip install 'diffusers<0.39'` with the trainer's Python: this trainer cannot use a newer one",
        remedy_zh="请用训练器的 Python 运行 `pip install 'diffusers<0.39'`：此训练器无法使用更新的版本",
        examples=("TypeError: QwenEmbedRope.forward() got multiple values for argument 'device'",),
    ),
    KnownCause(
        "datasets_versions",
        pattern=(
            r"ArrowInvalid: Could not convert .{1,100} with type numpy"
            r"|cached in a LocalFileSystem is not supported"
        ),
        remedy=(
            "datasets, pyarrow, fsspec and numpy do not fit together: run "
            "`pip install --upgrade datasets pyarrow fsspec numpy` with the trainer's Python"
        ),
        remedy_zh=(
            "datasets、pyarrow、fsspec 与 numpy 的版本互不相容：请用训练器的 Python 运行 "
            "`pip install --upgrade datasets pyarrow fsspec numpy`"
        ),
        examples=(
            "pyarrow.lib.ArrowInvalid: Could not convert 1 with type numpy.int64: tried to convert",
            "NotImplementedError: Loading a dataset cached in a LocalFileSystem is not supported.",
        ),
    ),
    KnownCause(
        "imageio",
        pattern=r"No ffmpeg exe|Could not find a backend to open",
        remedy=(
            'run `pip install "imageio[ffmpeg]" av` with the trainer\'s Python; if it recurs, convert the file '
            "of the dataset that the error names"
        ),
        remedy_zh=(
            '请用训练器的 Python 运行 `pip install "imageio[ffmpeg]" av`；若再次出现，请转换错误信息所指的数据集文件'
        ),
        examples=(
            "imageio.core.fetching.NeedDownloadError: No ffmpeg exe could be found. Install ffmpeg on your system",
            "ValueError: Could not find a backend to open `/d/a.mp4` with iomode `r`.",
        ),
    ),
)
