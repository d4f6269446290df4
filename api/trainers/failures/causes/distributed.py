"""Several GPUs or machines that train together."""

from api.domain.tasks.cause import CauseCode
from api.trainers.failures.known_cause import KnownCause

#: Ranks that wait for one another.
_TIMEOUT = (
    r"Watchdog caught collective operation timeout|watchdog got stuck|wait timeout after \d+ ?ms"
    r"|NCCL operations have failed or timed out"
)

CAUSES = (
    KnownCause(
        "port_in_use",
        pattern=r"EADDRINUSE|[Aa]ddress already in use|errno: 98\b|\[Errno 98\]",
        cause=CauseCode.PORT_IN_USE,
        detail="the port for communication between ranks was in use",
        detail_zh="各进程通信的端口已被占用",
        remedy="retry the task: it gets another port",
        remedy_zh="重新启动即可：会换一个端口",
        examples=(
            "torch.distributed.DistNetworkError: EADDRINUSE, address already in use",
            (
                "torch.distributed.DistNetworkError: The server socket has failed to bind to [::]:29500 (errno: 98 "
                "- Address in use)."
            ),
            "OSError: [Errno 98] Address in use",
        ),
    ),
    KnownCause(
        "rank_missing",
        pattern=r"Timed out after \d+ seconds waiting for clients",
        cause=CauseCode.NCCL_TIMEOUT,
        detail="a rank did not start in time",
        detail_zh="某个 rank 没有及时启动",
        remedy=(
            "look in the log for what that rank did or which error it had; if the disk or the machine is slow, "
            "raise DEEPSPEED_TIMEOUT (minutes); then resume"
        ),
        remedy_zh=(
            "请在日志中查看该 rank 做了什么或出了什么错误；若磁盘或机器较慢，请提高 DEEPSPEED_TIMEOUT（分钟）；"
            "然后继续训练"
        ),
        is_consequence=True,
        examples=(
            "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients. 1/2 clients joined.",
        ),
    ),
    KnownCause(
        # If the first operation of all fails, the ranks never had contact.
        "nccl_timeout_caching",
        pattern=rf"^(?!.*\(SeqNum=1,).*(?:{_TIMEOUT})",
        cause=CauseCode.NCCL_TIMEOUT,
        detail="the ranks timed out while one of them cached the dataset",
        detail_zh="某个进程缓存数据集时，其他进程等待超时",
        remedy=(
            "cache the dataset first, on one GPU, and then start the training; or raise DEEPSPEED_TIMEOUT "
            "(minutes, 30 if not set) in `env`; the network is most likely not at fault"
        ),
        remedy_zh=(
            "请先用一块 GPU 缓存数据集，再开始训练；或在 `env` 中提高 DEEPSPEED_TIMEOUT（分钟，未设置时为 30"
            "）；多半不是网络的问题"
        ),
        is_consequence=True,
        while_caching=True,
        examples=(
            (
                "caching latents: (1.0, 512, 512, 1)\n"
                "[rank0]:[E730 09:16:29.681 ProcessGroupNCCL.cpp:616] [Rank 0] Watchdog caught collective "
                "operation timeout: WorkNCCL(SeqNum=12, OpType=ALLREDUCE, Timeout(ms)=1800000) ran for 1800003 "
                "milliseconds before timing out."
            ),
        ),
    ),
    KnownCause(
        "nccl_timeout",
        pattern=_TIMEOUT,
        cause=CauseCode.NCCL_TIMEOUT,
        detail="the ranks timed out while waiting for one another",
        detail_zh="各进程互相等待，直到超时",
        remedy=(
            "resume it; if it recurs, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1, or raise DEEPSPEED_TIMEOUT "
            "(minutes)"
        ),
        remedy_zh=(
            "继续训练；若再次发生，设置 NCCL_P2P_DISABLE=1 与 NCCL_IB_DISABLE=1，或更大的 DEEPSPEED_TIMEOUT（分钟）"
        ),
        is_consequence=True,
        examples=(
            "[PG 0 Rank 0] ProcessGroupNCCL's watchdog got stuck for 480 seconds",
            (
                "[rank0]:[E730 09:16:29.681 ProcessGroupNCCL.cpp:616] [Rank 0] Watchdog caught collective "
                "operation timeout: WorkNCCL(SeqNum=12, OpType=ALLREDUCE, Timeout(ms)=1800000) ran for 1800003 "
                "milliseconds before timing out."
            ),
            "RuntimeError: NCCL communicator was aborted: wait timeout after 600000ms",
            "RuntimeError: Some NCCL operations have failed or timed out.",
        ),
    ),
    KnownCause(
        "no_peer_access",
        pattern=r"peer access is not supported|peer mapping resources exhausted",
        remedy="these GPUs cannot exchange data directly: set NCCL_P2P_DISABLE=1 in `env`",
        remedy_zh="这些 GPU 不能直接交换数据：在 `env` 中设置 NCCL_P2P_DISABLE=1",
        examples=(
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled cuda error\n"
                "ncclUnhandledCudaError: Call failed.\n"
                "Last error:\n"
                "Cuda failure 'peer access is not supported between these two devices'"
            ),
            "RuntimeError: CUDA error: peer mapping resources exhausted",
        ),
    ),
    KnownCause(
        "nccl_shared_memory",
        pattern=r"shared memory segment /dev/shm|/dev/shm/nccl",
        remedy="make /dev/shm larger (in a container: --shm-size or --ipc=host)",
        remedy_zh="增大 /dev/shm（在容器中：--shm-size 或 --ipc=host）",
        examples=(
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled cuda error\n"
                "ncclUnhandledCudaError: Call failed.\n"
                "Last error:\n"
                "Error while creating shared memory segment /dev/shm/nccl-ReUuLH (size 9637888)"
            ),
        ),
    ),
    KnownCause(
        "nccl_no_route",
        pattern=r"NCCL error.*(?:[Cc]onnect to \S{1,80} (?:returned|failed)|No route to host|connection abort)",
        remedy=(
            "NCCL cannot connect over the network interface that it chose (the error has the address; those of "
            "docker and VPNs often fail): set NCCL_SOCKET_IFNAME in `env`, to lo for GPUs of one machine, else "
            "to an interface that reaches the others (`ip -br addr`)"
        ),
        remedy_zh=(
            "NCCL 无法通过它选择的网络接口连接（地址见错误；docker 和 VPN 的接口常会失败）：请在 `env` 中设置 "
            "NCCL_SOCKET_IFNAME，同一台机器的 GPU 用 lo，否则用能到达其他机器的接口（`ip -br addr`）"
        ),
        examples=(
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "connect to fe80::1%docker0<45123> returned No route to host"
            ),
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "socketStartConnect: Connect to 172.17.0.1<45123> failed : Software caused connection abort"
            ),
        ),
    ),
    KnownCause(
        "nccl_plugin",
        pattern=r"Libfabric not found|NET/OFI|NET/Plugin|network \w{1,40} not found",
        remedy=(
            "NCCL is told to use a network plugin that is not there: remove NCCL_NET and NCCL_NET_PLUGIN from "
            "the service's environment, or install the plugin"
        ),
        remedy_zh=(
            "NCCL 被要求使用一个不存在的网络插件：请从服务的环境中去掉 NCCL_NET 和 NCCL_NET_PLUGIN，或安装该插件"
        ),
        examples=(
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "network AWS Libfabric not found."
            ),
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "NET/Plugin: Could not find: libnccl-net.so"
            ),
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "NET/OFI Unable to find a provider"
            ),
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "Error: network foo not found."
            ),
        ),
    ),
    KnownCause(
        "nccl_nvls",
        pattern=r"\bNVLS\b|NVLink SHARP",
        remedy=(
            "NCCL cannot use NVLink SHARP on this system: set NCCL_NVLS_ENABLE=0 in `env`, or check the Fabric Manager"
        ),
        remedy_zh="NCCL 在此系统上无法使用 NVLink SHARP：请在 `env` 中设置 NCCL_NVLS_ENABLE=0，或检查 Fabric Manager",
        examples=(
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "Failed to bind NVLink SHARP (NVLS) Multicast memory of size 2097152"
            ),
        ),
    ),
    KnownCause(
        "nccl_interface",
        pattern=r"[Nn]o socket interface found|Unable to find address for",
        remedy=("no network interface has the given name: correct or remove NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME"),
        remedy_zh="没有名称相符的网络接口：请改正或去掉 NCCL_SOCKET_IFNAME 和 GLOO_SOCKET_IFNAME",
        examples=(
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled cuda error\n"
                "ncclUnhandledCudaError: Call failed.\n"
                "Last error:\n"
                "Bootstrap : no socket interface found"
            ),
            "RuntimeError: Unable to find address for: eth7",
        ),
    ),
    KnownCause(
        "boards_need_both",
        pattern=r"Using RTX 4000 series|NCCL_P2P_DISABLE",
        remedy="set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1 in `env`: these GPUs need both",
        remedy_zh="在 `env` 中设置 NCCL_P2P_DISABLE=1 与 NCCL_IB_DISABLE=1：这些显卡两者都需要",
        examples=(
            "NotImplementedError: Using RTX 4000 series doesn't support faster communication via P2P",
            "NotImplementedError: Set NCCL_P2P_DISABLE and NCCL_IB_DISABLE, or use another launcher",
        ),
    ),
    KnownCause(
        "duplicate_gpu",
        pattern=r"Duplicate GPU detected",
        remedy=("two ranks use the same GPU: check CUDA_VISIBLE_DEVICES of the service, which must list each GPU once"),
        remedy_zh="两个进程使用了同一块 GPU：请检查服务的 CUDA_VISIBLE_DEVICES，每块 GPU 只能列出一次",
        examples=(
            "torch.distributed.DistBackendError: NCCL error: Duplicate GPU detected : rank 1 and rank 0",
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled cuda error\n"
                "ncclUnhandledCudaError: Call failed.\n"
                "Last error:\n"
                "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 1000"
            ),
        ),
    ),
    KnownCause(
        "one_stage",
        pattern=(
            r"No backend type associated with device type cpu|Tensors must be CUDA and dense"
            r"|Could not send (?:meta )?type"
        ),
        remedy=(
            "this version of the trainer cannot send a tensor of this model between GPUs: set pipeline_stages "
            "= 1, or update the trainer"
        ),
        remedy_zh="此版本的训练器无法在 GPU 之间传送此模型的某个张量：请设置 pipeline_stages = 1，或更新训练器",
        examples=(
            "RuntimeError: No backend type associated with device type cpu",
            "ValueError: Tensors must be CUDA and dense",
            "NotImplementedError: Could not send type <class 'NoneType'>",
        ),
    ),
    KnownCause(
        "stages_or_no_release",
        pattern=r"data parallel world size must be 1",
        remedy="set pipeline_stages to the number of GPUs, or remove gradient_release",
        remedy_zh="把 pipeline_stages 设为 GPU 的数量，或去掉 gradient_release",
        examples=("AssertionError: data parallel world size must be 1 when using gradient_release",),
    ),
    KnownCause(
        "gpus_and_stages",
        pattern=r"must divide distributed world size",
        remedy="request a number of GPUs that is a multiple of pipeline_stages, or change pipeline_stages",
        remedy_zh="请求的 GPU 数量应为 pipeline_stages 的倍数，或更改 pipeline_stages",
        examples=("RuntimeError: num_stages (2) must divide distributed world size (3)",),
    ),
    KnownCause(
        "no_cfg",
        pattern=r"CFG training requires",
        remedy="set pipeline_stages = 1, or remove `cfg`",
        remedy_zh="设置 pipeline_stages = 1，或去掉 `cfg`",
        examples=("AssertionError: CFG training requires pipeline_stages=1",),
    ),
    KnownCause(
        "partition_split",
        pattern=r"partition_split must be",
        remedy="give partition_split one entry less than pipeline_stages",
        remedy_zh="partition_split 的层数应比 pipeline_stages 少一个",
        examples=("AssertionError: partition_split must be of length pipeline_stages - 1",),
    ),
    KnownCause(
        "nccl_ib",
        pattern=r"\bibv_|NET/IB",
        remedy=(
            "InfiniBand failed: set NCCL_IB_DISABLE=1 in `env`, or check the cables and drivers (`ibstat`), then resume"
        ),
        remedy_zh="InfiniBand 失败：请在 `env` 中设置 NCCL_IB_DISABLE=1，或检查线缆和驱动（`ibstat`），然后继续训练",
        examples=(
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "Call to ibv_modify_qp failed with 110 Connection timed out"
            ),
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled system "
                "error\n"
                "ncclSystemError: System call failed.\n"
                "Last error:\n"
                "NET/IB : Got completion from peer with status=12"
            ),
        ),
    ),
)
