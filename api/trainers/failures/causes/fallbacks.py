"""Errors of which only the kind or the place is known."""

from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import UPGRADE

CAUSES = (
    KnownCause(
        "gpu_kernel",
        pattern=(
            r"illegal memory access|Memory access fault|misaligned address|unspecified launch failure"
            r"|illegal instruction"
        ),
        remedy=(
            "resume it with compile = false and without expandable_segments in PYTORCH_CUDA_ALLOC_CONF; if it "
            "recurs, update the driver and PyTorch, and check the GPU for Xid errors and overclocking"
        ),
        remedy_zh=(
            "以 compile = false、且 PYTORCH_CUDA_ALLOC_CONF 中不含 expandable_segments 继续训练；若再次发生，更"
            "新驱动与 PyTorch，并检查该 GPU 的 Xid 错误与超频"
        ),
        examples=(
            "torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
            "Memory access fault by GPU node-1 (Agent handle: 0x5) on address 0x7. Reason: Page not present",
            "torch.AcceleratorError: CUDA error: misaligned address",
            "torch.AcceleratorError: CUDA error: unspecified launch failure",
            "torch.AcceleratorError: CUDA error: an illegal instruction was encountered",
        ),
    ),
    KnownCause(
        "swap_failed",
        pattern=r"\[block swap\]$",
        remedy=(
            "blocks could not be moved between the GPU and the machine's memory: lower blocks_to_swap or "
            "remove it (under WSL2, which limits pinned memory, raise `memory` in .wslconfig); if it recurs, "
            "update the trainer"
        ),
        remedy_zh=(
            "无法在 GPU 与内存之间移动模型块：请降低或去掉 blocks_to_swap（WSL2 限制锁页内存，请在 .wslconfig "
            "中提高 `memory`）；若再次出现，请更新训练器"
        ),
        examples=(
            (
                '  File "/t/utils/offloading.py", line 119, in weights_to_device\n'
                "RuntimeError: CUDA error: invalid argument"
            ),
        ),
    ),
    KnownCause(
        "gpu_and_versions",
        pattern=r"CUDA error|CUBLAS|CUDNN",
        remedy=(
            "resume it with compile = false; if it recurs, look for Xid errors (`dmesg | grep Xid`), update "
            "the NVIDIA driver, and reinstall torch with its nvidia packages in the trainer's environment"
        ),
        remedy_zh=(
            "请设置 compile = false 后继续训练；若再次出现，请查看 Xid 错误（`dmesg | grep Xid`），更新 NVIDIA "
            "驱动，并在训练器的环境中连同其 nvidia 软件包重新安装 torch"
        ),
        is_guess=True,
        examples=(
            (
                '  File "/v/torch/nn/modules/linear.py", line 125, in forward\n'
                "RuntimeError: CUDA error: invalid argument"
            ),
            (
                '  File "/v/site-packages/deepspeed/runtime/pipe/engine.py", line 9, in train_batch\n'
                '  File "/t/models/a.py", line 9, in forward\n'
                "RuntimeError: CUDA driver error: device not ready"
            ),
            "RuntimeError: CUBLAS failed",
            "RuntimeError: CUDNN failed",
        ),
    ),
    KnownCause(
        "network",
        pattern=(
            r"\[Errno (?:101|110|-2|-3)\]|Network is unreachable|Connection timed out|name resolution"
            r"|Max retries exceeded|Connection aborted|Remote end closed|IncompleteRead|peer closed connection"
            r"|^httpx\.(?:Read|Write|Close|RemoteProtocol)Error"
        ),
        remedy=(
            "the network failed: check it, and resume; if a model was to be downloaded, do so on a machine "
            "with network access, and give its directory"
        ),
        remedy_zh="网络出了故障：请检查后继续；若是要下载模型，请在有网络的机器上下载，并填写其目录",
        examples=(
            "ConnectionError: ('Connection aborted.', RemoteDisconnected('Remote end closed connection'))",
            "OSError: [Errno 101] Network is unreachable",
            "httpx.RemoteProtocolError: peer closed connection without sending complete message body",
            "TimeoutError: Connection timed out",
            "OSError: Temporary failure in name resolution",
            "ValueError: Max retries exceeded with url: /x",
            "requests.exceptions.ChunkedEncodingError: IncompleteRead(1 bytes read)",
        ),
    ),
    KnownCause(
        "other_rank",
        pattern=r"remote process exited|store->get\(|gloo.{0,200}Connection (?:closed|reset) by peer",
        remedy=(
            "another rank ended first, or the network failed: look for its error further up in the log, then resume"
        ),
        remedy_zh="另一个进程先结束了，或网络出了故障：请在日志更前面查找它的错误，然后继续训练",
        examples=(
            "torch.distributed.DistBackendError: NCCL error in: x.cpp:1, remote process exited or there was",
            (
                "torch.distributed.DistBackendError: [1] is setting up NCCL communicator and retrieving "
                "ncclUniqueId from [0] via c10d key-value store by key '0', but store->get('0') got error"
            ),
            "RuntimeError: [/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1",
        ),
    ),
    KnownCause(
        "nccl_again",
        pattern=r"NCCL",
        remedy="resume it; if it recurs, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1",
        remedy_zh="继续训练；若再次发生，设置 NCCL_P2P_DISABLE=1 与 NCCL_IB_DISABLE=1",
        is_guess=True,
        examples=(
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "ncclCommInitRank: internal failure"
            ),
        ),
    ),
    KnownCause(
        "own_address",
        pattern=r"\[own address\]$|failed to connect to any network address",
        remedy=(
            "this machine cannot resolve its own name: add it to /etc/hosts (`127.0.0.1 localhost` and the "
            "output of `hostname`), then resume"
        ),
        remedy_zh=(
            "本机无法解析自己的名称：请把它写入 /etc/hosts（`127.0.0.1 localhost` 和 `hostname` 的输出），然后继续训练"
        ),
        examples=(
            "DistNetworkError: The client socket has failed to connect to any network address of (a, 1)",
            '  File "/t/train.py", line 9, in init_distributed\nOSError: [Errno 99] Cannot assign requested address',
        ),
    ),
    KnownCause(
        "rank_unreachable",
        pattern=r"client socket has (?:failed|timed out)|Socket Timeout|Timed out waiting \d+ms",
        remedy=(
            "a rank did not answer in time: look for another rank's error in the log; across machines, check "
            "that the first one's name resolves and that no firewall blocks its port"
        ),
        remedy_zh=(
            "某个进程没有及时应答：请在日志中查找另一进程的错误；跨机器时请确认能解析第一台机器的名称，且防火墙"
            "没有拦截其端口"
        ),
        examples=(
            "torch.distributed.DistNetworkError: The client socket has timed out after 600s",
            "RuntimeError: Socket Timeout",
            "RuntimeError: Timed out waiting 1800000ms for recv operation to complete",
        ),
    ),
    KnownCause(
        "assertion",
        pattern=r"AssertionError",
        remedy="the traceback shows which condition failed: correct that setting",
        remedy_zh="堆栈信息显示训练器的哪个条件没有满足：请改正那项设置",
        is_guess=True,
        unless_place=True,
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/multiprocess/pool.py", line 9, in get\n'
                "AssertionError: x"
            ),
            (
                '  File "/v/site-packages/deepspeed/runtime/engine.py", line 9, in backward\n'
                '  File "/t/train.py", line 9, in <module>\n'
                "AssertionError: x"
            ),
        ),
    ),
    KnownCause(
        "place_wandb",
        pattern=r"^\[place: wandb\]$",
        remedy=(
            "Weights & Biases failed: check wandb_api_key and the names in [monitoring], and the network, or "
            "set enable_wandb = false"
        ),
        remedy_zh=(
            "Weights & Biases 出错：请检查 wandb_api_key、[monitoring] 中的名称以及网络，或设置 enable_wandb = false"
        ),
        examples=('  File "/v/wandb/sdk/wandb_login.py", line 9, in login\n    raise X\nRuntimeError: unknown',),
    ),
    KnownCause(
        "place_media",
        pattern=r"^\[place: media\]$",
        remedy=(
            "a media file cannot be read: validate the request again, which names damaged files, and convert, "
            "replace or remove it"
        ),
        remedy_zh="无法读取某个媒体文件：请重新校验请求，校验会列出损坏的文件，然后转换、替换或删除它",
        examples=(
            (
                '  File "/t/models/../submodules/ComfyUI/comfy/sd.py", line 9, in load_clip\n'
                '  File "/v/site-packages/PIL/Image.py", line 1, in open\n'
                "RuntimeError: unknown"
            ),
        ),
    ),
    KnownCause(
        "place_generic_optimizer",
        pattern=r"^\[place: generic optimizer\]$",
        remedy=(
            "settings of GenericOptim do not fit together: momentum_type is 'ema', 'none' or 'sm', which needs "
            "rank, update_proj_gap and proj_type; second_moment_type is 'ema', 'factored', 'sn' or 'none'; "
            "only one of muon, adamuon and normuon may be true"
        ),
        remedy_zh=(
            "GenericOptim 的设置互相不符：momentum_type 为 'ema'、'none' 或 'sm'（后者需要 rank、"
            "update_proj_gap 与 proj_type）；second_moment_type 为 'ema'、'factored'、'sn' 或 'none'；muon、"
            "adamuon、normuon 中只能有一个为 true"
        ),
        examples=(
            (
                '  File "/t/optimizers/generic_optim.py", line 9, in check_params\n'
                "AssertionError: rank set but x is not set!"
            ),
        ),
    ),
    KnownCause(
        "place_optimizer",
        pattern=r"^\[place: optimizer\]$",
        remedy=(
            "the optimizer fails with its settings: correct [optimizer] as the error and the trainer's "
            "examples show, or use adamw_optimi; if a resumed training failed, resume it with reset_optimizer"
        ),
        remedy_zh=(
            "优化器在这些设置下失败：请按照错误信息和训练器的示例改正 [optimizer]，或使用 adamw_optimi；若失败"
            "的是继续的训练，请以 reset_optimizer 继续"
        ),
        examples=(
            '  File "/t/train.py", line 9, in get_optimizer\n    return klass(groups)\nRuntimeError: unknown',
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/deepspeed/a.py", line 9, in _take_model_step\n'
                "KeyError: 'exp_avg'"
            ),
        ),
    ),
    KnownCause(
        "place_checkpoint",
        pattern=r"^\[place: checkpoint\]$",
        remedy=(
            "the checkpoint could not be loaded: resume with the settings and the version of the trainer that "
            "wrote it, or from an earlier one"
        ),
        remedy_zh="无法加载检查点：请用写入它时的设置和训练器版本继续，或从更早的检查点继续",
        examples=(
            '  File "/v/deepspeed/runtime/engine.py", line 9, in load_checkpoint\nRuntimeError: unknown',
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/deepspeed/a.py", line 9, in load_checkpoint\n'
                "KeyError: 'state1'"
            ),
        ),
    ),
    KnownCause(
        "place_batch",
        pattern=r"^\[place: batch\]$",
        remedy=(
            "the cached data does not fit the model, most often as it is of another model or version of the "
            "trainer: start the training again with regenerate_cache = true; if it recurs, update the trainer"
        ),
        remedy_zh=(
            "缓存的数据与模型不符，多半属于其他模型或其他版本的训练器：请以 regenerate_cache = true 重新开始训"
            "练；若再次出现，请更新训练器"
        ),
        examples=('  File "/t/models/wan/wan.py", line 9, in prepare_inputs\nRuntimeError: unknown',),
    ),
    KnownCause(
        "place_item",
        pattern=r"^\[place: item\]$",
        remedy=(
            "an item of the dataset cannot be processed: validate the request again, which names damaged files "
            "and empty captions, remove files without a caption and the smallest files, and set "
            "caching_batch_size = 1; if it recurs, set the VAE and text encoders that belong to the model"
        ),
        remedy_zh=(
            "数据集中的某一项无法处理：请重新验证请求，它会指出损坏的文件和空的标注；去掉没有标注的文件和最小的"
            "文件，并设置 caching_batch_size = 1；若再次出现，请填写属于该模型的 VAE 和文本编码器"
        ),
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/t/utils/dataset.py", line 9, in __init__\n'
                "AttributeError: 'NoneType' object has no attribute 'split'"
            ),
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "ValueError: zero-size array to reduction operation"
            ),
        ),
    ),
    KnownCause(
        "place_step",
        pattern=r"^\[place: step\]$",
        remedy=(
            "the model cannot compute a batch: start the training again with regenerate_cache = true and "
            "compile = false; if it recurs, set micro_batch_size_per_gpu = 1, and update the trainer and its "
            "submodules"
        ),
        remedy_zh=(
            "模型无法计算某个批次：请以 regenerate_cache = true 和 compile = false 重新开始训练；若再次出现，请"
            "设置 micro_batch_size_per_gpu = 1，并更新训练器及其子模块"
        ),
        examples=(
            (
                '  File "/v/site-packages/deepspeed/runtime/pipe/engine.py", line 9, in train_batch\n'
                '  File "/t/models/a.py", line 9, in forward\n'
                "ValueError: too many values to unpack (expected 2)"
            ),
        ),
    ),
    KnownCause(
        "place_save",
        pattern=r"^\[place: save\]$",
        remedy=(
            "the model or checkpoint could not be saved: check the disk of output_dir, update the trainer and "
            "its packages, and resume"
        ),
        remedy_zh="无法保存模型或检查点：请检查 output_dir 所在的磁盘，更新训练器及其软件包，然后继续训练",
        examples=(
            (
                '  File "/t/utils/saver.py", line 9, in save_adapter\n'
                '  File "/v/site-packages/peft/a.py", line 9, in f\n'
                "ValueError: unheard of"
            ),
        ),
    ),
    KnownCause(
        "place_stages",
        pattern=r"^\[place: stages\]$",
        remedy=(
            "the layers of the model could not be divided among the GPUs: lower pipeline_stages, or correct "
            "partition_split and partition_method"
        ),
        remedy_zh="无法把模型的层分配到各 GPU：请减小 pipeline_stages，或改正 partition_split 和 partition_method",
        examples=(
            (
                '  File "/v/deepspeed/runtime/pipe/module.py", line 393, in _partition_layers\n'
                "RuntimeError: Partitioning method a not implemented"
            ),
        ),
    ),
    KnownCause(
        "place_adapter",
        pattern=r"^\[place: adapter\]$",
        remedy=(
            "[adapter] has a value that is not accepted: rank must be a whole number above 0, dropout a number "
            "from 0 to below 1, and exclude_modules a list of names"
        ),
        remedy_zh=(
            "[adapter] 中有不被接受的值：rank 必须是大于 0 的整数，dropout 是不小于 0 且小于 1 的数，"
            "exclude_modules 是名称列表"
        ),
        examples=(
            (
                '  File "/t/models/base.py", line 9, in configure_adapter\n'
                '  File "/v/site-packages/peft/a.py", line 9, in __init__\n'
                "ValueError: `r` should be a positive integer value but got 0"
            ),
        ),
    ),
    KnownCause(
        "place_setting",
        pattern=r"^\[place: setting (.+)\]$",
        remedy=(
            "the value of `{what}` has the wrong type or form: write numbers without quotes, lists in "
            "brackets, and compare it with the trainer's example"
        ),
        remedy_zh="`{what}` 的值的类型或形式不对：数字不加引号，列表写在方括号中，请与训练器的示例对照",
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    released = config['optimizer'].get('gradient_release', False)\n"
                "TypeError: '>' not supported between 'str' and 'int'"
            ),
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    x = config['warmup_steps'] > 0\n"
                "TypeError: '>' not supported between 'str' and 'int'"
            ),
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/t/utils/dataset.py", line 9, in __init__\n'
                "    for res in resolutions:\n"
                "TypeError: 'int' object is not iterable"
            ),
        ),
    ),
    KnownCause(
        "place_table",
        pattern=r"^\[place: table (.+)\]$",
        remedy=(
            "`{what}` must be a table: write its name in single brackets, such as [adapter], on the line above "
            "its settings"
        ),
        remedy_zh="`{what}` 必须是表：在其设置的上一行用单方括号写出表名，例如 [adapter]",
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    released = config['optimizer'].get('gradient_release', False)\n"
                "AttributeError: 'str' object has no attribute 'get'"
            ),
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "    adapter_type = adapter_config['type']\n"
                "TypeError: list indices must be integers"
            ),
        ),
    ),
    KnownCause(
        "place_model",
        pattern=r"^\[place: model\]$",
        remedy=(
            "the model could not be loaded: a file in [model] is most likely incomplete or of another model: "
            "compare the paths with the trainer's example for this model type, and the files' sizes with their "
            "download page"
        ),
        remedy_zh=(
            "无法加载模型：[model] 中的某个文件很可能不完整或属于其他模型：请将路径与训练器为此模型类型提供的示"
            "例对照，并将文件大小与下载页面对照"
        ),
        examples=(
            (
                '  File "/t/train.py", line 1, in <module>\n'
                "    from models import wan\n"
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "RuntimeError: unknown"
            ),
        ),
    ),
    KnownCause(
        "place_library",
        pattern=r"^\[place: library ([\w.-]+)\]$",
        remedy=(
            "`{what}` cannot load a model: run `pip install --upgrade {what} 'diffusers<0.39'` with the "
            "trainer's Python; if it recurs, a file in [model] is incomplete or of another model: compare the "
            "paths with the trainer's example for this model type, and the files' sizes with their download "
            "page"
        ),
        remedy_zh=(
            "`{what}` 无法加载模型：请用训练器的 Python 运行 `pip install --upgrade {what} 'diffusers<0.39'`；"
            "若再次出现，则 [model] 中的某个文件不完整或属于其他模型：请将路径与训练器为此模型类型提供的示例对"
            "照，并将文件大小与下载页面对照"
        ),
        examples=(
            (
                '  File "/t/models/flux.py", line 9, in __init__\n'
                '  File "/v/site-packages/transformers/modeling_a.py", line 9, in f\n'
                "KeyError: 'mrope'"
            ),
        ),
    ),
    KnownCause(
        "place_submodule",
        pattern=r"^\[place: submodule ([\w.-]+)\]$",
        remedy=(
            "the error arose in the submodule {what}, most often as it does not match the trainer: run "
            "`git pull` and `git submodule update --init --recursive` in the trainer's directory; if it "
            "recurs, compare the files in [model] with the trainer's example for this model type"
        ),
        remedy_zh=(
            "错误发生在子模块 {what} 中，多半是它与训练器不匹配：请在训练器的目录中运行 `git pull` 和 "
            "`git submodule update --init --recursive`；若再次出现，请将 [model] 中的文件与训练器为此模型类型提"
            "供的示例对照"
        ),
        examples=(
            (
                '  File "/t/models/../submodules/ComfyUI/comfy/sd.py", line 9, in load_clip\n'
                "    x = y\n"
                "RuntimeError: unknown"
            ),
            (
                '  File "/t/models/../submodules/ComfyUI/comfy/sd.py", line 9, in load_clip\n'
                "    x = y\n"
                '  File "/v/lib/site-packages/torch/a.py", line 1, in f\n'
                "RuntimeError: unknown"
            ),
            (
                '  File "/t/models/../submodules/ComfyUI/comfy/sd.py", line 9, in load_clip\n'
                "    x = y\n"
                '  File "/v/site-packages/transformers/a.py", line 1, in f\n'
                "RuntimeError: unknown"
            ),
        ),
    ),
    KnownCause(
        "place_package",
        pattern=r"^\[place: (?:import|package) ([\w.-]+)\]$",
        remedy=(
            "the error arose in the package `{what}`, most often as its version does not fit the trainer or "
            f"another package: run {UPGRADE} in the trainer's directory with its Python; if it recurs, reinstall "
            "it, update the trainer, or correct the setting that the traceback shows"
        ),
        remedy_zh=(
            "错误发生在软件包 `{what}` 中，多半是其版本与训练器或其他软件包不符：请在训练器的目录中用它的 "
            "Python 运行 `pip install --upgrade -r requirements.txt 'diffusers<0.39'`（qwen_image 无法使用更新"
            "的版本）；若再次出现，请重新安装它，更新训练器，或改正堆栈信息所示的设置"
        ),
        examples=(
            (
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "    from peft import x\n"
                '  File "/v/site-packages/peft/a.py", line 1, in <module>\n'
                "RuntimeError: unknown"
            ),
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/deepspeed/runtime/engine.py", line 9, in backward\n'
                "AssertionError: loss must be a scalar tensor"
            ),
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/deepspeed/runtime/engine.py", line 9, in backward\n'
                '  File "/v/site-packages/torch/nn/modules/module.py", line 9, in __getattr__\n'
                "TypeError: unhashable type"
            ),
            (
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                '  File "/v/site-packages/deepspeed/runtime/engine.py", line 9, in backward\n'
                "TypeError: argument of type 'NoneType' is not iterable"
            ),
        ),
    ),
)
