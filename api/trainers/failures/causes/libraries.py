"""Native libraries, and compilers for them."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "newer_system",
        pattern=r"version [`'](?:GLIBC(?:XX)?|CXXABI)_[\d.]+' not found",
        remedy=(
            "a package was built for a newer Linux: install a build for this system, build it from source, or "
            "use a newer system or container"
        ),
        remedy_zh="某个软件包是为更新的 Linux 构建的：请安装适合此系统的版本、从源码构建，或使用更新的系统或容器",
        examples=("ImportError: /lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /v/x.so)",),
    ),
    KnownCause(
        "mkl",
        pattern=r"undefined symbol: iJIT_NotifyEvent",
        remedy=(
            "torch does not fit this MKL: run `pip install 'mkl<2024.1'` (with conda, "
            "`conda install 'mkl<2024.1'`) in the trainer's environment, or install torch with pip"
        ),
        remedy_zh=(
            "torch 与此 MKL 不匹配：请在训练器的环境中运行 `pip install 'mkl<2024.1'`（conda 用 "
            "`conda install 'mkl<2024.1'`），或用 pip 安装 torch"
        ),
        examples=("ImportError: /v/torch/lib/libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent",),
    ),
    KnownCause(
        "torch_libraries",
        pattern=(
            r"/torch/lib/lib\w{1,40}\.so[\d.]{0,10}: undefined symbol|nvJitLink|libnvrtc-builtins|find nvrtc"
            r"|CUBLAS_STATUS_(?:NOT_SUPPORTED|INVALID_VALUE)|CUDNN_STATUS_\w*VERSION_MISMATCH"
            r"|cuDNN version incompatib|libcudnn.*\.so"
        ),
        remedy=(
            "libraries of CUDA, cuDNN or NCCL of different versions are mixed: remove their directories from "
            "LD_LIBRARY_PATH and LD_PRELOAD, or reinstall torch with its nvidia packages in the trainer's "
            "environment; if it recurs, update the driver"
        ),
        remedy_zh=(
            "混用了不同版本的 CUDA、cuDNN 或 NCCL 库：请从 LD_LIBRARY_PATH 和 LD_PRELOAD 中去掉它们的目录，或在"
            "训练器的环境中重新安装 torch 及其 nvidia 软件包；若再次出现，请更新驱动"
        ),
        examples=(
            "RuntimeError: cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH",
            "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul`",
            "OSError: libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12",
            "ImportError: /v/torch/lib/libtorch_cuda.so: undefined symbol: ncclCommShrink",
            "Could not load library libcudnn_ops.so.9. Error: libcudnn_ops.so.9: cannot open shared",
            "RuntimeError: nvrtc: error: failed to open libnvrtc-builtins.so.12.8.",
            "RuntimeError: Unable to find nvrtc",
            "RuntimeError: cuDNN version incompatibility: PyTorch was compiled against (9, 8, 0) but found (9, 1, 0)",
        ),
    ),
    KnownCause(
        "package_anew",
        pattern=r"^(?!.*/\.?triton/cache/).*undefined symbol|(?<![/\w])lib(?:c10|torch)\w{0,40}\.so: cannot open",
        remedy=(
            "reinstall the package named in the error or in the traceback's last lines, built for the "
            "trainer's version of torch"
        ),
        remedy_zh="重新安装错误中或堆栈最后几行所指的软件包，须为训练器的 torch 版本构建",
        examples=(
            "ImportError: libc10.so: cannot open shared object file: No such file or directory",
            "ImportError: /v/deepspeed/ops/adam/fused_adam.so: undefined symbol: _ZN3c104cuda",
        ),
    ),
    KnownCause(
        "static_tls",
        pattern=r"cannot allocate memory in static TLS",
        remedy=(
            "the libraries need more thread-local memory than the system reserves: set "
            "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 for the service"
        ),
        remedy_zh=(
            "这些库需要的线程局部内存超过系统预留的大小：请为服务设置 "
            "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384"
        ),
        examples=("ImportError: /v/_C.so: cannot allocate memory in static TLS block",),
    ),
    KnownCause(
        "kernels_not_executable",
        pattern=(
            r"(?:/\.?triton/|torchinductor|torch_extensions|/tmp/).*(?:failed to map segment"
            r"|shared object file: (?:Operation not permitted|Permission denied))"
        ),
        remedy=(
            "compiled code lies on a disk that forbids execution (noexec): set TRITON_CACHE_DIR and "
            "TORCHINDUCTOR_CACHE_DIR in `env`, and TORCH_EXTENSIONS_DIR and TMPDIR of the service, to "
            "directories on a disk that allows it"
        ),
        remedy_zh=(
            "编译出的代码位于禁止执行（noexec）的磁盘上：请把 `env` 中的 TRITON_CACHE_DIR 与 "
            "TORCHINDUCTOR_CACHE_DIR 以及服务的 TORCH_EXTENSIONS_DIR 与 TMPDIR 设为允许执行的磁盘上的目录"
        ),
        examples=(
            "ImportError: /h/.triton/cache/6f/cuda_utils.so: failed to map segment from shared object",
            "ImportError: /h/.cache/torch_extensions/py312/a.so: failed to map segment from shared",
            "ImportError: /tmp/torchinductor_u/ab/x.so: failed to map segment from shared",
        ),
    ),
    KnownCause(
        "library_not_executable",
        pattern=r"failed to map segment|shared object file: (?:Operation not permitted|Permission denied)",
        remedy=(
            "the library in the error lies on a disk that forbids execution (noexec), or the trainer's user "
            "must not read it: mount the disk without noexec, or move the trainer's environment to another one"
        ),
        remedy_zh=(
            "错误中的库位于禁止执行（noexec）的磁盘上，或训练的用户无权读取它：挂载该磁盘时请不带 noexec，或把"
            "训练器的环境移到另一磁盘"
        ),
        examples=(
            "ImportError: /v/site-packages/torch/lib/a.so: failed to map segment from shared object",
            "ImportError: /v/lib/av/_core.so: cannot open shared object file: Permission denied",
        ),
    ),
    KnownCause(
        "kernels_incomplete",
        pattern=(
            r"(?:/\.?triton/|torchinductor|torch_extensions/).*(?:\.so: undefined symbol|cannot open shared"
            r"|file too short|invalid ELF)|\[Errno (?:26|39)\].*(?:/\.?triton/|torchinductor)"
        ),
        remedy=(
            "the cache of compiled code is incomplete: delete the directory that the error names, and start "
            "again; with several trainings on a network disk, set TRITON_CACHE_DIR in `env` to a local "
            "directory"
        ),
        remedy_zh=(
            "编译代码的缓存不完整：请删除错误中的目录，然后重新开始；若多个训练共用网络磁盘，请在 `env` 中把 "
            "TRITON_CACHE_DIR 设为本地目录"
        ),
        examples=(
            "ImportError: /h/.triton/cache/6f/x.so: cannot open shared object file: No such file",
            "ImportError: /h/.triton/cache/6f/x.so: file too short",
            "ImportError: /c/torch_extensions/py312_cu128/fused_adam.so: cannot open shared object file: No such",
            "ImportError: /h/.triton/cache/6f/cuda_utils.so: undefined symbol: cuModuleGetFunction",
            "OSError: [Errno 26] Text file busy: '/h/.triton/cache/a.so'",
        ),
    ),
    KnownCause(
        "c_compiler",
        pattern=(
            r"Failed to find C compiler|Python\.h|_inductor.*Command '\['[^']*(?:gcc|clang|/cc)'"
            r"|Command '\['[^']*(?:gcc|clang|/cc)'(?!.*fatal error).*(?:-lcuda\b|cuda_utils|triton)"
        ),
        remedy="install a C compiler and Python's headers (gcc and python3-dev), or set compile = false",
        remedy_zh="安装 C 编译器与 Python 的头文件（gcc 与 python3-dev），或设置 compile = false",
        examples=(
            "torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler. Please specify via CC",
            "torch._inductor.exc.InductorError: CalledProcessError: Command '['/usr/bin/gcc', '/tmp/t/main.c'",
            "CalledProcessError: Command '['/usr/bin/gcc', '/tmp/a/main.c', '-o', '/tmp/a/cuda_utils.so', '-lcuda']'",
            (
                "/t/a/main.c:5:10: fatal error: Python.h: No such file or directory\n"
                "CalledProcessError: Command '['/usr/bin/gcc', '/tmp/a/main.c', '-o', '/tmp/a/cuda_utils.so']' "
                "returned 1"
            ),
        ),
    ),
    KnownCause(
        "arch_list",
        pattern=r"^IndexError",
        within=r"in _get_cuda_arch_flags$",
        remedy=(
            "an extension is compiled for the GPUs that torch sees, and it sees none: run `nvidia-smi` as the "
            "trainer's user, and start a container with --gpus all; or set TORCH_CUDA_ARCH_LIST of the service "
            "to the GPU's compute capability, such as 8.9"
        ),
        remedy_zh=(
            "扩展是为 torch 看到的 GPU 编译的，而它没有看到任何 GPU：请以训练器的用户运行 `nvidia-smi`，并用 "
            "--gpus all 启动容器；或把服务的 TORCH_CUDA_ARCH_LIST 设为该 GPU 的计算能力，例如 8.9"
        ),
        examples=('  File "/v/a.py", line 9, in _get_cuda_arch_flags\nIndexError: list index out of range',),
    ),
    KnownCause(
        "compiler",
        pattern=(
            r"Error building extension|MissingCUDAException|CUDA_HOME"
            r"|Unable to JIT load|fatal error: .*\.h: No such file|CUDAMismatchException|Ninja is required"
            r"|(?:FileNotFoundError|CalledProcessError).*'(?:/[^']{0,300}/)?(?:nvcc|ninja|gcc|cc|[gc]\+\+)'"
        ),
        remedy="install a compiler and the CUDA toolkit that matches PyTorch, and set CUDA_HOME for the service",
        remedy_zh="安装编译器与 torch 所用版本的 CUDA toolkit，并为服务设置 CUDA_HOME",
        examples=(
            "RuntimeError: Error building extension 'fused_adam'",
            "deepspeed.ops.op_builder.builder.MissingCUDAException: CUDA_HOME does not exist",
            "deepspeed.ops.op_builder.builder.CUDAMismatchException: Installed CUDA version 12.6 does not match",
            "subprocess.CalledProcessError: Command '['ninja', '-v']' returned non-zero exit status 1.",
            "CalledProcessError: Command '['/usr/local/cuda/bin/nvcc', '-V']' returned non-zero exit status 1.",
            (
                "/t/a.cpp:1:10: fatal error: cuda_runtime.h: No such file or directory\n"
                "CalledProcessError: Command '['/usr/bin/gcc', '/tmp/a/main.c', '-o', '/tmp/a/cuda_utils.so']' "
                "returned 1"
            ),
            "FileNotFoundError: [Errno 2] No such file or directory: 'nvcc'",
            "RuntimeError: Unable to JIT load the fused_adam op due to it not being compatible",
            "RuntimeError: Ninja is required to load C++ extensions",
        ),
    ),
    KnownCause(
        "library",
        pattern=r"(?<![/\w.+-])(lib[\w+-]{1,60}\.so[\d.]{0,20}): cannot open shared object file",
        remedy=(
            "the library {what} is missing: install the system's package that has it (libgl1 for libGL); if it "
            "belongs to CUDA, reinstall torch with its nvidia packages"
        ),
        remedy_zh=(
            "缺少库 {what}：请安装包含它的系统软件包（libGL 对应 libgl1）；若属于 CUDA，请重新安装 torch 及其 "
            "nvidia 软件包"
        ),
        examples=(
            "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
            "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",
        ),
    ),
    KnownCause(
        "library_unusable",
        pattern=r"(?:ImportError|OSError): [^']{0,300}\.so[\w.]{0,40}: ",
        remedy=(
            "a library of a package is missing or cannot be loaded: reinstall the package that the error names "
            "in the trainer's environment, in the version for this system and its version of torch"
        ),
        remedy_zh=(
            "某个软件包的库缺失或无法加载：请在训练器的环境中重新安装错误所指的软件包，版本须适合此系统及其 torch"
        ),
        examples=(
            "OSError: /v/decord/libdecord.so: cannot open shared object file: No such file",
            "ImportError: /v/lib/av/_core.so: invalid ELF header",
            "ImportError: _C.cpython-312.so: cannot open shared object file: No such file",
        ),
    ),
    KnownCause(
        "openmp_twice",
        pattern=r"^OMP: Error #15|found libgomp\S{0,20} already initialized",
        remedy=(
            "two copies of OpenMP are loaded, most often as conda's numpy or mkl meets pip's torch: install "
            "numpy and torch both with pip in the trainer's environment, or set KMP_DUPLICATE_LIB_OK=TRUE for "
            "the service"
        ),
        remedy_zh=(
            "加载了两份 OpenMP，通常是 conda 的 numpy 或 mkl 与 pip 的 torch 混用：请在训练器的环境中用 pip 安"
            "装 numpy 和 torch，或为服务设置 KMP_DUPLICATE_LIB_OK=TRUE"
        ),
        examples=("OMP: Error #15: Initializing libiomp5.so, but found libgomp.so.1 already initialized.",),
    ),
)
