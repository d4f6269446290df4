"""Limits, temporary files and the locale of the trainer's user."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "open_files",
        pattern=r"Too many open files|\[Errno 24\]|received 0 items of ancdata",
        remedy="raise the limit of open files of the service (LimitNOFILE, ulimit -n)",
        remedy_zh="提高服务可打开的文件数上限（LimitNOFILE、ulimit -n）",
        examples=(
            "OSError: [Errno 24] Too many open files: '/d/1.png'",
            "RuntimeError: received 0 items of ancdata",
        ),
    ),
    KnownCause(
        "threads",
        pattern=(
            r"can't start new thread|\[Errno 11\]|Resource temporarily unavailable|pthread_create failed"
            r"|Thread creation failed|unable to allocate necessary resources for OMP"
        ),
        remedy=(
            "raise the limit of processes of the service (TasksMax, ulimit -u, the container's pids limit), or "
            "lower map_num_proc"
        ),
        remedy_zh="提高服务的进程数上限（TasksMax、ulimit -u、容器的 pids 限制），或降低 map_num_proc",
        examples=(
            "RuntimeError: can't start new thread",
            "libgomp: Thread creation failed: Resource temporarily unavailable",
            "BlockingIOError: [Errno 11] write could not complete",
            "OpenBLAS blas_thread_init: pthread_create failed for thread 1 of 64",
            "RuntimeError: unable to allocate necessary resources for OMP thread",
        ),
    ),
    KnownCause(
        "long_tmp",
        pattern=r"AF_UNIX path too long",
        remedy=(
            "the directory for temporary files has too long a path for a socket: set TMPDIR of the service to "
            "a short one, such as /tmp"
        ),
        remedy_zh="临时文件目录的路径对套接字来说太长：请把服务的 TMPDIR 设为较短的路径，例如 /tmp",
        examples=("OSError: AF_UNIX path too long",),
    ),
    KnownCause(
        "no_tmp",
        pattern=r"No usable temporary directory|random directory for manager socket",
        remedy="make /tmp writable and free space on its disk, or set TMPDIR of the service to another directory",
        remedy_zh="请使 /tmp 可写并在其磁盘上释放空间，或把服务的 TMPDIR 设为另一个目录",
        examples=(
            "FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp']",
            "RuntimeError: torch_shm_manager: could not generate a random directory for manager socket",
        ),
    ),
    KnownCause(
        "locale",
        pattern=r"'ascii' codec can't",
        remedy="the trainer runs without a UTF-8 locale: set LANG=C.UTF-8 (or PYTHONUTF8=1) for the service",
        remedy_zh="训练器在没有 UTF-8 区域设置的环境中运行：请为服务设置 LANG=C.UTF-8（或 PYTHONUTF8=1）",
        examples=("UnicodeEncodeError: 'ascii' codec can't encode characters in position 0-3",),
    ),
)
