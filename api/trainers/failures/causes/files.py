"""Disks, paths, and the access to them."""

from api.domain.tasks.cause import CauseCode
from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import CACHE_FILE, FILE_MISSING, SAVING

#: The beginning of a path of Windows; in addresses, letters precede the colon's one.
_WINDOWS_PATH = r"(?<![A-Za-z])[A-Za-z]:[\\/](?!/)"

CAUSES = (
    KnownCause(
        "disk_quota",
        pattern=r"\[Errno 122\]|[Qq]uota exceeded",
        cause=CauseCode.DISK_FULL,
        detail="the disk quota of the trainer's user was used up",
        detail_zh="训练器用户的磁盘配额已用完",
        remedy=(
            "free space within the quota (`quota -s`; old checkpoints, caches), raise it, or use a directory "
            "on another disk, then resume"
        ),
        remedy_zh=(
            "在配额内腾出空间（用 `quota -s` 查看；旧检查点、缓存），提高配额，或改用其他磁盘上的目录，然后继续训练"
        ),
        examples=("OSError: [Errno 122] Disk quota exceeded: '/d/cache'",),
    ),
    KnownCause(
        "disk_full",
        pattern=(
            r"No space left on device|\[Errno 28\]|ENOSPC|disk is full|PytorchStreamWriter failed writing file"
            r"|Not enough disk space|basic_ios::clear: iostream error"
            r"|inline_container\.cc:\d+\] ?\. unexpected pos"
        ),
        cause=CauseCode.DISK_FULL,
        detail="the disk was full",
        detail_zh="磁盘已满",
        remedy="free disk space (old checkpoints, caches), set keep_last_checkpoints, then resume",
        remedy_zh="清理磁盘（旧检查点、缓存），设置 keep_last_checkpoints，然后继续训练",
        examples=(
            "OSError: [Errno 28] No space left on device",
            "RuntimeError: PytorchStreamWriter failed writing file data/3: file write failed",
            "RuntimeError: basic_ios::clear: iostream error",
            "RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 768 vs 662",
            "OSError: Not enough disk space. Needed: Unknown size",
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "sqlite3.OperationalError: database or disk is full"
            ),
            "Error: ENOSPC: write failed",
        ),
    ),
    KnownCause(
        "output_gone",
        pattern=rf"{FILE_MISSING}|Parent directory .{{1,400}} does not exist",
        within=SAVING,
        cause=CauseCode.TRAINER_ERROR,
        detail="a file or directory of the run was removed while it trained",
        detail_zh="训练期间，训练的某个文件或目录被移除",
        remedy="look for what removed it (another program, a lost mount), then resume",
        remedy_zh="查找移除它的原因（其他程序、丢失的挂载），然后继续训练",
        examples=(
            (
                '  File "/t/utils/saver.py", line 9, in save_adapter\n'
                "FileNotFoundError: [Errno 2] No such file or directory: '/a/config.toml'"
            ),
            (
                '  File "/t/utils/saver.py", line 9, in save_adapter\n'
                "RuntimeError: Parent directory /o/run/epoch1/tmp does not exist."
            ),
        ),
    ),
    KnownCause(
        "windows_path",
        pattern=(
            rf"(?:No such file|not a valid model identifier|Repo id must|Incorrect path"
            rf"|[Ii]nvalid \w{{0,20}}path)"
            rf".{{0,200}}{_WINDOWS_PATH}|{_WINDOWS_PATH}.{{0,200}}(?:does not exist|is not a local folder"
            rf"|not a valid)"
        ),
        cause=CauseCode.MISSING_FILE,
        detail="a path of Windows is set, which Linux does not know",
        detail_zh="设置了 Windows 的路径，Linux 不认识它",
        remedy=(
            "write it as Linux sees it (under WSL2, C:\\data is /mnt/c/data), or copy the files to a disk of "
            "Linux, which is faster, and set their path there"
        ),
        remedy_zh=(
            "写成 Linux 中的路径（在 WSL2 下，C:\\data 是 /mnt/c/data），或把文件复制到更快的 Linux 磁盘，并设置"
            "那里的路径"
        ),
        examples=(
            "FileNotFoundError: [Errno 2] No such file or directory: 'C:\\\\data\\\\a.toml'",
            "RuntimeError: Invalid path: D:/data/set",
            "OSError: D:\\models\\wan is not a local folder and is not a valid model identifier",
        ),
    ),
    KnownCause(
        # The trainer writes the files in a dataset's `cache` itself.
        "missing_file",
        pattern=(
            rf"^FileNotFoundError(?!.*(?:No usable temporary|states\.pt'|{CACHE_FILE}|is neither a `Dataset`"
            r"|'(?:nvcc|ninja|gcc|cc|[gc]\+\+)'))"
            r"|^(?!.*(?:object file|\benv: ['‘][^'’]{1,60}['’]|cannot find -l\w+): No such)"
            r"(?!.*(?:can't open file|TensileLibrary)).*No such file or directory"
            rf"(?!: (?:{CACHE_FILE}$|'(?:[^']*states\.pt|nvcc|ninja|gcc|cc|[gc]\+\+)'$))"
            r"|HFValidationError|Invalid `pretrained_model|Incorrect path_or_model_id|model_path not exists"
            r"|\b404 Client Error|(?:LocalEntryNotFound|EntryNotFound|RepositoryNotFound)Error"
            r"|is not a (?:valid model identifier|local folder)"
        ),
        cause=CauseCode.MISSING_FILE,
        detail="a file or model was not found",
        detail_zh="找不到某个文件或模型",
        remedy="correct the path in the request, or create the file; the trainer's user must be able to read it",
        remedy_zh="改正请求中的路径，或把文件放到该处；本服务的用户必须能读取它",
        examples=(
            "FileNotFoundError: [Errno 2] No such file or directory: '/m/flux'",
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'a/b': '/m/x'",
            "safetensors_rust.SafetensorError: No such file or directory: /m/x.safetensors",
            "FileNotFoundError: [Errno 2] No such file or directory: '/data/cache/x.safetensors'",
            "OSError: Incorrect path_or_model_id: '/m/llava'. Please provide either the path",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                "FileNotFoundError: [Errno 2] No such file or directory: '/m/wan/config.json'"
            ),
            (
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "FileNotFoundError: [Errno 2] No such file or directory: '/d/set.toml'"
            ),
            (
                '  File "/t/utils/dataset.py", line 9, in latents_map_fn\n'
                "OSError: /m/llama is not a local folder or a valid repository name on 'https://hf.co'."
            ),
            "ValueError: Invalid `pretrained_model_name_or_path` provided.",
            "ValueError: model_path not exists: /m/a",
            "requests.exceptions.HTTPError: 404 Client Error: Not Found for url",
            "huggingface_hub.errors.EntryNotFoundError: config.json",
        ),
    ),
    KnownCause(
        "file_in_the_way",
        pattern=r"\[in the way\]$",
        remedy=(
            "a file stands where the trainer creates the directory in the error: move it away; output_dir must "
            "name a directory, and a dataset's directory must have no file named `cache`"
        ),
        remedy_zh=(
            "训练器要创建错误中的目录，但该处有一个文件：请把它移走；output_dir 必须是目录，数据集的目录中不能"
            "有名为 `cache` 的文件"
        ),
        examples=(
            "    os.makedirs(run_dir)\nNotADirectoryError: [Errno 20] Not a directory: '/o/1'",
            "    os.mkdir(a)\nNotADirectoryError: [Errno 20] Not a directory: '/d/cache/flux'",
        ),
    ),
    KnownCause(
        "directory_expected",
        pattern=r"NotADirectoryError",
        remedy=(
            "a file is set where the trainer expects a directory: set the directory that holds all of the "
            "model's files (ckpt_path and diffusers_path are directories)"
        ),
        remedy_zh="训练器需要目录的位置填了文件：请填写包含该模型全部文件的目录（ckpt_path 和 diffusers_path 是目录）",
        examples=(
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/t/models/wan/wan.py", line 9, in __init__\n'
                "NotADirectoryError: [Errno 20] Not a directory: '/m/a.safetensors/x.json'"
            ),
        ),
    ),
    KnownCause(
        "disk_failed",
        pattern=(
            r"\[Errno (?:5|6|74|107|112|116|117|121)\]|Input/output error|Stale file handle"
            r"|Structure needs cleaning|Transport endpoint is not connected"
        ),
        remedy="a disk or a network mount failed: check it (`dmesg`, `mount`), then resume",
        remedy_zh="某个磁盘或网络挂载出了故障：请检查它（`dmesg`、`mount`），然后继续训练",
        examples=(
            "OSError: [Errno 5] Input/output error: '/data/a.png'",
            "OSError: [Errno 116] Stale file handle: '/data/cache/x'",
            "OSError: [Errno 117] Structure needs cleaning: '/d/a.png'",
            "OSError: Transport endpoint is not connected: '/d'",
        ),
    ),
    KnownCause(
        "file_too_large",
        pattern=r"\[Errno 27\]|File too large",
        remedy=(
            "the disk or a limit forbids files of this size: use another disk than one in FAT32, which allows "
            "4 GB, or raise the limit of the service (LimitFSIZE, ulimit -f)"
        ),
        remedy_zh=(
            "磁盘或某个限制不允许这么大的文件：请使用非 FAT32 的磁盘（FAT32 最多 4 GB），或提高服务的限制（"
            "LimitFSIZE、ulimit -f）"
        ),
        examples=("OSError: [Errno 27] File too large",),
    ),
    KnownCause(
        "link_loop",
        pattern=r"\[Errno 40\]|Too many levels of symbolic links",
        remedy="a symbolic link in the path of the error leads back to itself: correct or remove it",
        remedy_zh="错误中的路径含有指回自身的符号链接：请更正或移除它",
        examples=("OSError: [Errno 40] Too many levels of symbolic links: '/d/a'",),
    ),
    KnownCause(
        "still_open",
        pattern=r"\[Errno (?:16|39)\]",
        remedy=(
            "another process has files of this directory open (network disks show them as .nfs files): end it, "
            "or set output_dir to a directory on a local disk, then resume"
        ),
        remedy_zh=(
            "另一个进程打开了此目录中的文件（网络磁盘会显示为 .nfs 文件）：请结束它，或把 output_dir 设为本地磁"
            "盘上的目录，然后继续"
        ),
        examples=("OSError: [Errno 39] Directory not empty: '/o/run/tmp'",),
    ),
    KnownCause(
        "disk_lacks",
        pattern=r"\[Errno (?:1|18|22|37|38|95)\]|\(os error (?:1|18|22|37|38|95)\)|locking protocol",
        remedy=(
            "the disk of the path in the error lacks a function of Linux disks, as network shares, exFAT and "
            "Windows drives under WSL2 (/mnt/c) do: use a path on a local Linux disk"
        ),
        remedy_zh=(
            "错误信息中的路径所在的磁盘缺少 Linux 磁盘的某项功能，网络共享、exFAT 和 WSL2 下的 Windows 盘（"
            "/mnt/c）就是如此：请使用本地 Linux 磁盘上的路径"
        ),
        examples=(
            "OSError: [Errno 37] No locks available",
            "OSError: [Errno 18] Invalid cross-device link: '/d/cache/a' -> '/d/cache/b'",
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "sqlite3.OperationalError: locking protocol"
            ),
            "safetensors_rust.SafetensorError: Error while serializing: I/O error: Invalid argument (os error 22)",
        ),
    ),
    KnownCause(
        "cannot_write",
        pattern=r"File .{1,300} cannot be opened",
        remedy=(
            "a file of the run cannot be written: free disk space, check the quota and that the trainer's user "
            "may write to output_dir, then resume"
        ),
        remedy_zh="无法写入本次训练的文件：请释放磁盘空间，检查配额以及训练器的用户能否写入 output_dir，然后继续训练",
        examples=("RuntimeError: File /o/run/global_step9/mp_rank_00_model_states.pt cannot be opened.",),
    ),
    KnownCause(
        "long_name",
        pattern=r"File name too long",
        remedy="shorten the name of the file in the error",
        remedy_zh="请缩短错误信息中文件的名称",
        examples=("OSError: [Errno 36] File name too long: '/data/aaa.txt'",),
    ),
    KnownCause(
        "file_expected",
        pattern=r"IsADirectoryError",
        remedy=(
            "the path in the error is a directory, but the trainer expects a file: give the path of the file "
            "in it, or move it away if it lies in the dataset"
        ),
        remedy_zh="错误中的路径是目录，而训练器需要文件：请填写其中文件的路径；若它位于数据集中，请把它移走",
        examples=("IsADirectoryError: [Errno 21] Is a directory: '/m/flux'",),
    ),
    KnownCause(
        "no_access_hub",
        pattern=r"\[no access: hub\]$",
        remedy=(
            "the trainer's user cannot write to the cache of the model hub: set HF_HOME in `env` to a "
            "directory that it can write to"
        ),
        remedy_zh="训练器的用户无法写入模型库的缓存：请把 `env` 中的 HF_HOME 设为该用户可写的目录",
        examples=(
            "    path.mkdir()\nOSError: [Errno 30] Read-only file system: '/d/x/huggingface/hub/a'",
            "PermissionError: [Errno 13] Permission denied: '/root/.cache/huggingface/a'",
            "  File \"/v/huggingface_hub/a.py\", line 9, in f\nPermissionError: [Errno 13] Permission denied: '/h'",
        ),
    ),
    KnownCause(
        "no_access_kernels",
        pattern=r"\[no access: kernels\]$",
        remedy=(
            "the trainer's user cannot write to the cache of compiled code: set TRITON_CACHE_DIR and "
            "TORCHINDUCTOR_CACHE_DIR in `env`, and TORCH_EXTENSIONS_DIR of the service, to directories that it "
            "can write to"
        ),
        remedy_zh=(
            "训练器的用户无法写入编译代码的缓存：请把 `env` 中的 TRITON_CACHE_DIR 与 TORCHINDUCTOR_CACHE_DIR 以"
            "及服务的 TORCH_EXTENSIONS_DIR 设为该用户可写的目录"
        ),
        examples=(
            "    os.makedirs(path)\nOSError: [Errno 30] Read-only file system: '/d/x/.triton/cache/a'",
            "PermissionError: [Errno 13] Permission denied: '/root/.triton/cache/a'",
            (
                '  File "/v/triton/runtime/cache.py", line 9, in f\n'
                "PermissionError: [Errno 13] Permission denied: '/no'"
            ),
        ),
    ),
    KnownCause(
        "read_only_path",
        pattern=r"\[read-only\]$",
        remedy=(
            "the path in the error, most often output_dir, lies on a read-only disk: make it writable (mount "
            "the volume without `ro`; a disk with errors becomes read-only, see `dmesg`), or set another path"
        ),
        remedy_zh=(
            "错误中的路径（多半是 output_dir）位于只读磁盘上：请使其可写（挂载卷时不要用 `ro`；出错的磁盘会变为"
            "只读，见 `dmesg`），或设置其他路径"
        ),
        examples=(
            "    os.makedirs(run_dir, exist_ok=True)\nOSError: [Errno 30] Read-only file system: '/d/x'",
            (
                '  File "/t/utils/saver.py", line 9, in save_adapter\n'
                "OSError: [Errno 30] Read-only file system: '/d/x'"
            ),
            "    os.makedirs(path)\nOSError: [Errno 30] Read-only file system: '/d/x'",
        ),
    ),
    KnownCause(
        "read_only",
        pattern=r"Read-only file system|\[Errno 30\]|write a readonly database|unable to open database file",
        remedy=(
            "the trainer writes its cache into each directory of the dataset: make it writable, or copy the "
            "dataset to a disk that is"
        ),
        remedy_zh="训练器把缓存写入数据集的每个目录：请使其可写，或把数据集复制到可写的磁盘",
        examples=(
            "OSError: [Errno 30] Read-only file system: '/data/cache'",
            "sqlite3.OperationalError: attempt to write a readonly database",
            (
                '  File "/t/utils/dataset.py", line 226, in __init__\n'
                "OSError: [Errno 30] Read-only file system: '/d/x'"
            ),
            "    os.makedirs(self.cache_dir)\nOSError: [Errno 30] Read-only file system: '/d/x/cache/flux'",
            "    os.makedirs(self.cache_dir)\nOSError: [Errno 30] Read-only file system: '/d/x/hub/photos/cache'",
            "sqlite3.OperationalError: unable to open database file",
        ),
    ),
    KnownCause(
        "path_access",
        pattern=r"PermissionError|PermissionDenied|Permission denied|^setpriv: failed to execute",
        remedy="give the user of trainings (TRAINER_USER, or the service's user) access to that path",
        remedy_zh="让运行训练的用户（TRAINER_USER，未设置时为本服务的用户）可以访问该路径",
        examples=(
            (
                "safetensors_rust.SafetensorError: Error while serializing: IoError(Os { code: 13, kind: "
                "PermissionDenied })"
            ),
            "PermissionError: [Errno 13] Permission denied: '/data/out/epoch1'",
            "setpriv: failed to execute /home/me/venv/bin/python: Permission denied",
        ),
    ),
)
