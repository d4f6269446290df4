"""The cache of a dataset."""

from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import CACHE_FILE

CAUSES = (
    KnownCause(
        "cache_damaged",
        pattern=(
            r"file is not a database|database disk image is malformed|no such (?:table|column)"
            r"|Arrow(?:Invalid|TypeError)|\[cut off: cache\]$"
            rf"|/cache/.{{1,300}}is neither a `Dataset`|No such file.{{1,20}}{CACHE_FILE}"
        ),
        remedy=(
            "the cache of a dataset is damaged: delete the directory `cache` in the dataset's directory, and "
            "start the training again; regenerate_cache is not enough"
        ),
        remedy_zh=(
            "数据集的缓存已损坏：请删除数据集目录中的 `cache` 目录，然后重新开始训练；仅设置 regenerate_cache 不够"
        ),
        examples=(
            "sqlite3.DatabaseError: file is not a database",
            "sqlite3.DatabaseError: database disk image is malformed",
            "pyarrow.lib.ArrowInvalid: Not an Arrow file",
            "FileNotFoundError: Directory /d/cache/wan/metadata/a is neither a `Dataset` directory nor",
            "FileNotFoundError: [Errno 2] No such file or directory: '/d/cache/wan/a/shard_3.bin'",
            (
                '  File "/t/utils/cache.py", line 41, in __getitem__\n'
                "RuntimeError: PytorchStreamReader failed reading zip archive: failed finding central directory"
            ),
            '  File "/t/utils/cache.py", line 41, in __getitem__\nEOFError: Ran out of input',
            "  x, in check_grouped_metadata\njson.decoder.JSONDecodeError: Expecting value",
            "FileNotFoundError: [Errno 2] No such file or directory: '/d/cache/wan/metadata/a/state.json'",
            "sqlite3.OperationalError: no such table: cache",
        ),
    ),
    KnownCause(
        "cache_disk",
        pattern=r"OperationalError: disk I/O error",
        remedy=(
            "the disk of the dataset's cache cannot hold a database, as many network shares and Windows drives "
            "under WSL2 (/mnt/c) cannot: copy the dataset to a local Linux disk; if it is on one, the disk "
            "failed or is full (see `dmesg` and `df`)"
        ),
        remedy_zh=(
            "数据集缓存所在的磁盘无法存放数据库，许多网络共享和 WSL2 下的 Windows 盘（/mnt/c）都是如此：请把数"
            "据集复制到本地 Linux 磁盘；若已在本地，则是磁盘故障或已满（查看 `dmesg` 与 `df`）"
        ),
        examples=("sqlite3.OperationalError: disk I/O error",),
    ),
    KnownCause(
        "cache_locked",
        pattern=r"database is locked",
        remedy=(
            "another process writes to the same cache, or it is on a network disk without locks: wait for the "
            "other training, or copy the dataset to a local disk"
        ),
        remedy_zh=(
            "另一个进程正在写同一个缓存，或它位于不支持锁的网络磁盘上：请等待另一个训练结束，或把数据集复制到本地磁盘"
        ),
        examples=("sqlite3.OperationalError: database is locked",),
    ),
    KnownCause(
        "cache_differs",
        pattern=(
            r"Invalid key: \d+ is out of bounds|\[old cache\]$"
            r"|AssertionError(?:: \(\d+, \d+\)|.*(?:cache_size <=|new_fingerprint ==|ds\.size_bucket =="
            r"|len\((?:self\.latent_dataset|te_dataset|grouping_key)\)|text_embeds\.shape\[:2\] ==))"
        ),
        remedy=(
            "the cache does not fit the dataset: start the training again with regenerate_cache = true; an "
            "evaluation must not use the training's directory with other buckets"
        ),
        remedy_zh="缓存与数据集不符：请以 regenerate_cache = true 重新开始训练；评估不能以其他分桶使用训练的目录",
        examples=(
            "AssertionError: (12, 10)",
            "IndexError: Invalid key: 5 is out of bounds for size 0",
            "    queue.put((1, example['is_video'], pipe))\nKeyError: 'is_video'",
            (
                '  File "/t/utils/dataset.py", line 100, in _map_and_cache\n'
                "    assert cache_size <= dataset_size\n"
                "AssertionError"
            ),
        ),
    ),
    KnownCause(
        "batch_of_one",
        pattern=r"stack expects each tensor to be equal size",
        within=r"in (?:_handle_task|_map_and_cache|_cache_\w{1,40}|latents_map_fn)$",
        remedy="set caching_batch_size = 1",
        remedy_zh="设置 caching_batch_size = 1",
        examples=(
            '  File "/t/x.py", line 9, in latents_map_fn\nRuntimeError: stack expects each tensor to be equal size',
        ),
    ),
    KnownCause(
        "unequal_sizes",
        pattern=r"stack expects each tensor to be equal size|resize storage that is not resizable",
        remedy=(
            "items of a batch have different sizes, most often as the cache is outdated: start the training "
            "again with regenerate_cache = true; if it recurs, set micro_batch_size_per_gpu = 1"
        ),
        remedy_zh=(
            "同一批中的条目大小不同，多半是缓存已过时：请以 regenerate_cache = true 重新开始训练；若再次发生，"
            "设置 micro_batch_size_per_gpu = 1"
        ),
        examples=(
            "RuntimeError: stack expects each tensor to be equal size, but got [1] at entry 0",
            "RuntimeError: Trying to resize storage that is not resizable",
            '  File "/t/x.py", line 9, in _collate\nRuntimeError: stack expects each tensor to be equal size',
        ),
    ),
)
