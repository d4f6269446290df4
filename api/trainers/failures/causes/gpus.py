"""GPUs and their driver."""

from api.domain.tasks.cause import CauseCode
from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "gpu_lost",
        pattern=(
            r"fallen off the bus|[Uu]ncorrectable (?:ECC|NVLink) error|GPU is lost|hardware stack error"
            r"|over nvlink or a hardware error"
        ),
        cause=CauseCode.GPU_LOST,
        detail="a GPU failed or disappeared",
        detail_zh="某块 GPU 出现故障或已不存在",
        remedy="check the GPU's health and Xid errors; reset or replace it, then resume",
        remedy_zh="查看该 GPU 的健康状态与 Xid 错误；复位或更换后继续训练",
        examples=(
            "RuntimeError: CUDA error: uncorrectable ECC error encountered",
            "torch.AcceleratorError: CUDA error: Invalid access of peer GPU memory over nvlink or a hardware error",
            "RuntimeError: CUDA error: GPU has fallen off the bus",
            "pynvml.NVMLError_GpuIsLost: GPU is lost",
            "torch.AcceleratorError: CUDA error: hardware stack error",
        ),
    ),
    KnownCause(
        "no_gpu_seen",
        pattern=r"No CUDA GPUs are available|no GPU resources available|no CUDA-capable device is detected",
        cause=CauseCode.GPU_LOST,
        detail="the process sees no GPU",
        detail_zh="进程看不到任何 GPU",
        remedy=(
            "run `nvidia-smi` as the trainer's user: if it lists the GPUs, check CUDA_VISIBLE_DEVICES of the "
            "service; if not, start the container with --gpus all, or check the driver and the Xid errors; "
            "then resume"
        ),
        remedy_zh=(
            "请以训练器的用户运行 `nvidia-smi`：若列出了 GPU，请检查服务的 CUDA_VISIBLE_DEVICES；若没有，启动容"
            "器时加上 --gpus all，或检查驱动与 Xid 错误；然后继续训练"
        ),
        examples=(
            "RuntimeError: No CUDA GPUs are available",
            "RuntimeError: Can't proceed with training, no GPU resources available",
            "torch.AcceleratorError: CUDA error: no CUDA-capable device is detected",
        ),
    ),
    KnownCause(
        "gpu_number",
        pattern=(
            r"invalid device ordinal|No slot '\d+' specified on host|Invalid device id|device < num_gpus"
            r"|device cuda:\d+ is invalid|CUDA_VISIBLE_DEVICES is invalid|CUDA device \d+ but torch"
        ),
        remedy=(
            "the process does not see a GPU of this number: compare the task's GPUs with `nvidia-smi`, check "
            "CUDA_VISIBLE_DEVICES of the service, and request fewer GPUs; a container needs access to all of "
            "them (--gpus all)"
        ),
        remedy_zh=(
            "进程看不到这个编号的 GPU：请对照任务的 GPU 与 `nvidia-smi`，检查服务的 CUDA_VISIBLE_DEVICES，并申"
            "请更少的 GPU；容器需要能访问全部 GPU（--gpus all）"
        ),
        examples=(
            "RuntimeError: CUDA error: invalid device ordinal",
            "ValueError: No slot '3' specified on host 'localhost'",
            "safetensors_rust.SafetensorError: device cuda:1 is invalid",
            "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 101: invalid device ordinal",
            (
                "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, unhandled cuda error\n"
                "ncclUnhandledCudaError: Call failed.\n"
                "Last error:\n"
                "Cuda failure 'invalid device ordinal'"
            ),
            "AssertionError: Invalid device id",
            "RuntimeError: device >= 0 && device < num_gpus INTERNAL ASSERT FAILED",
            "ValueError: CUDA_VISIBLE_DEVICES is invalid: 0,0",
            "RuntimeError: You requested CUDA device 3 but torch sees 2",
        ),
    ),
    KnownCause(
        "fabric_manager",
        pattern=r"\b802\b.*system not yet initialized|system not yet initialized",
        remedy=(
            "GPUs with NVSwitch need the NVIDIA Fabric Manager of the driver's version: start it (`systemctl "
            "start nvidia-fabricmanager`), then resume"
        ),
        remedy_zh=(
            "带 NVSwitch 的 GPU 需要与驱动同版本的 NVIDIA Fabric Manager：请启动它（"
            "`systemctl start nvidia-fabricmanager`），然后继续训练"
        ),
        examples=("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",),
    ),
    KnownCause(
        "gpu_busy",
        pattern=r"devices?(?:\(s\))? (?:is/)?are busy or unavailable",
        remedy=(
            "another process has the GPU for itself, or its compute mode forbids sharing: end that process, or "
            "set the mode with `nvidia-smi -c DEFAULT`"
        ),
        remedy_zh=(
            "另一个进程独占了该 GPU，或其计算模式不允许共享：请结束该进程，或用 `nvidia-smi -c DEFAULT` 设置模式"
        ),
        examples=("RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable",),
    ),
    KnownCause(
        "mps",
        pattern=r"\bMPS (?:client|server|control daemon)|\bcudaErrorMps",
        remedy=(
            "CUDA's Multi-Process Service does not answer: start its daemon again (`nvidia-cuda-mps-control "
            "-d`), or stop it and remove CUDA_MPS_PIPE_DIRECTORY from the service's environment"
        ),
        remedy_zh=(
            "CUDA 的多进程服务（MPS）没有应答：请重新启动其守护进程（`nvidia-cuda-mps-control -d`），或停止它并"
            "从服务的环境中去掉 CUDA_MPS_PIPE_DIRECTORY"
        ),
        examples=(
            "RuntimeError: CUDA error: MPS client failed to connect to the MPS control daemon",
            "RuntimeError: CUDA error: cudaErrorMpsConnectionFailed",
        ),
    ),
    KnownCause(
        "driver_of_windows",
        pattern=r"CUDA error: named symbol not found|cudaGetDeviceCount.*Error 500\b",
        remedy=(
            "the driver and its library do not match. Under WSL2 or Docker Desktop: update the NVIDIA driver "
            "of Windows, run `wsl --update` and `wsl --shutdown`, and update Docker Desktop; else restart the "
            "machine and the container"
        ),
        remedy_zh=(
            "驱动的库与驱动不匹配。在 WSL2 或 Docker Desktop 中：更新 Windows 的 NVIDIA 驱动，运行 "
            "`wsl --update` 与 `wsl --shutdown`，并更新 Docker Desktop；否则请重启机器和容器"
        ),
        examples=(
            "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 500: named symbol not found",
            "RuntimeError: CUDA error: named symbol not found",
        ),
    ),
    KnownCause(
        "driver_unusable",
        pattern=(
            r"Found no NVIDIA driver|CUDA driver initialization failed|CUDA unknown error"
            r"|cuda\.is_available\(\) is False|only supported with GPUs, no GPUs"
            r"|lib(?:cuda|nvidia-ml)\.so[\d.]{0,5}: cannot open|NVML Shared Library Not Found"
            r"|NVMLError_Unknown|\bnvml\w{1,60}\(\) failed|initialize NVML|CUDA error: initialization error"
            r"|0 active drivers \("
            r"|Unexpected error from cudaGetDeviceCount(?!.*Error (?:80[234]|101)\b)"
        ),
        remedy=(
            "the process cannot use the NVIDIA driver: run `nvidia-smi` as the trainer's user; start a "
            "container with --gpus all; after a driver update, restart the machine and the container, and "
            "update the NVIDIA Container Toolkit"
        ),
        remedy_zh=(
            "进程无法使用 NVIDIA 驱动：请以训练器的用户运行 `nvidia-smi`；启动容器时加上 --gpus all；更新驱动后"
            "请重启机器和容器，并更新 NVIDIA Container Toolkit"
        ),
        examples=(
            "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
            "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
            "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment",
            "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 999: unknown error",
            "RuntimeError: CUDA driver initialization failed, you might not have a CUDA gpu.",
            "RuntimeError: Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False.",
            "RuntimeError: Flash attention 2 is only supported with GPUs, no GPUs were found",
            "pynvml.NVMLError_LibraryNotFound: NVML Shared Library Not Found",
            "pynvml.NVMLError_Unknown: Unknown Error",
            "RuntimeError: nvmlInit_v2_() failed: Driver not loaded",
            "RuntimeError: Can't initialize NVML",
            "torch.AcceleratorError: CUDA error: initialization error",
            "RuntimeError: 0 active drivers ([]). There should only be one.",
        ),
    ),
    KnownCause(
        "libcuda_unknown",
        pattern=r"libcuda\.so cannot found|cannot find -lcuda\b",
        remedy=(
            "Triton does not find the driver's libcuda.so: run `ldconfig`, or add its directory (under WSL2 "
            "/usr/lib/wsl/lib) to LD_LIBRARY_PATH of the service"
        ),
        remedy_zh=(
            "Triton 找不到驱动的 libcuda.so：请运行 `ldconfig`，或把它所在的目录（WSL2 下为 /usr/lib/wsl/lib）"
            "加入服务的 LD_LIBRARY_PATH"
        ),
        examples=(
            "AssertionError: libcuda.so cannot found!",
            (
                "/usr/bin/ld: cannot find -lcuda: No such file or directory\n"
                "CalledProcessError: Command '['/usr/bin/gcc', '/tmp/a/main.c', '-o', '/tmp/a/cuda_utils.so']' "
                "returned 1"
            ),
        ),
    ),
    KnownCause(
        "driver_mismatch",
        pattern=(
            r"\b803\b.*driver|unsupported display driver|forward compatibility was attempted"
            r"|[Dd]river/library version mismatch"
        ),
        remedy=(
            "the NVIDIA driver and the CUDA library do not match: restart the machine after a driver update; "
            "in a container, remove the directory cuda/compat from LD_LIBRARY_PATH"
        ),
        remedy_zh=(
            "NVIDIA 驱动与 CUDA 库不匹配：更新驱动后请重启机器；在容器中请从 LD_LIBRARY_PATH 去掉 cuda/compat 目录"
        ),
        examples=(
            (
                "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 803: system has unsupported "
                "display driver"
            ),
            (
                "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward compatibility was "
                "attempted"
            ),
            "pynvml.NVMLError_LibRmVersionMismatch: Driver/library version mismatch",
        ),
    ),
)
