"""Memory of the GPUs and of the machine, and the blocks that are swapped between them."""

from dataclasses import replace

from api.domain.tasks.cause import CauseCode
from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import SAVING

#: Messages about exhausted GPU memory.
_CUDA_MEMORY = (
    r"CUDA out of memory|\bOutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|Cuda failure (?:\d+ )?'out of memory'|HIP out of memory|Triton Error \[CUDA\]: out of memory"
)

#: Frames that create semaphores and shared memory, which the system stores in /dev/shm.
_SHARED = r"/multiprocess(?:ing)?/(?:synchronize|shared_memory|heap)\.py"

#: Messages about exhausted memory of the machine.
_HOST_MEMORY = (
    r"^(?:[\w.]{1,80}\.)?(?:_Array)?MemoryError|DefaultCPUAllocator: |std::bad_alloc"
    r"|[Cc]annot allocate memory(?! in static TLS)|killed by signal: Killed"
)

_SHARED_MEMORY = KnownCause(
    "shared_memory",
    pattern=(
        r"(?:out of|insufficient) shared memory|Bus error|shared memory object(?!.*Too many)"
        r"|torch_shm_manager(?!.*random directory)|(?:shared memory|/dev/shm|/torch_\d"
        r"|fallocate).*No space left"
    ),
    cause=CauseCode.HOST_OUT_OF_MEMORY,
    detail="the machine ran out of shared memory (/dev/shm)",
    detail_zh="机器的共享内存（/dev/shm）不足",
    remedy="make /dev/shm larger (in a container: --shm-size or --ipc=host), or lower map_num_proc",
    remedy_zh="增大 /dev/shm（容器用 --shm-size 或 --ipc=host），或降低 map_num_proc",
    examples=(
        "RuntimeError: unable to write to file </torch_123_4>: No space left on device (28)",
        (
            '  File "/t/utils/dataset.py", line 9, in latents_map_fn\n'
            "Call to posix_fallocate failed: No space left on device"
        ),
        (
            "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared "
            "memory (shm)."
        ),
        (
            '  File "/t/utils/dataset.py", line 9, in cache\n'
            '  File "/v/site-packages/multiprocess/synchronize.py", line 9, in __init__\n'
            "OSError: [Errno 28] No space left on device"
        ),
        "RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error.",
        "RuntimeError: unable to open shared memory object </torch_1_2_3> in read-write mode: File exists (17)",
        "RuntimeError: torch_shm_manager at '/v/torch/bin/torch_shm_manager': error",
    ),
)

CAUSES = (
    KnownCause(
        # PyTorch lists the processes that it does not know as its own. In a container it can list itself so.
        "shared_gpu_memory",
        pattern=r"CUDA out of memory.*\bProcess \d+ has [\d.]+ GiB memory in use",
        cause=CauseCode.CUDA_OUT_OF_MEMORY,
        detail="a GPU ran out of memory, and another process held a part of it",
        detail_zh="显存不足，且其他进程占用了一部分",
        remedy=(
            "end the other program (`nvidia-smi` lists it; ComfyUI, Ollama and notebooks keep models loaded), "
            "then resume; if there is none, lower micro_batch_size_per_gpu or the resolutions"
        ),
        remedy_zh=(
            "结束该程序（`nvidia-smi` 会列出；ComfyUI、Ollama 和笔记本会一直占着模型），然后恢复训练；若没有其"
            "他程序，降低 micro_batch_size_per_gpu 或分辨率"
        ),
        examples=(
            (
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
                "capacity of 23.65 GiB of which 20.00 MiB is free. Process 4711 has 10.02 GiB memory in use."
            ),
        ),
    ),
    KnownCause(
        "gpu_full",
        pattern=_CUDA_MEMORY,
        within=r"in (?:set_device|init_distributed)$",
        cause=CauseCode.CUDA_OUT_OF_MEMORY,
        detail="a GPU had no free memory when the trainer started",
        detail_zh="训练器启动时 GPU 没有空闲显存",
        remedy=(
            "end the programs that hold it (`nvidia-smi` lists them; ComfyUI, Ollama and notebooks keep models "
            "loaded), then resume"
        ),
        remedy_zh=(
            "结束占用显存的程序（`nvidia-smi` 会列出它们；ComfyUI、Ollama 与 notebook 会让模型一直驻留），然后继续训练"
        ),
        examples=('  File "/t/x.py", line 9, in set_device\ntorch.AcceleratorError: CUDA error: out of memory',),
    ),
    KnownCause(
        # Without "Tried to allocate", the driver failed, not PyTorch's allocator of GPU memory. Copies from a GPU to
        # the machine's memory fail so.
        "pinned_memory",
        pattern=r"CUDA error: out of memory",
        within=r"offloading\.py|unsloth_utils\.py|\bpin_memory\b|cudaHostAlloc|in weights_to_device$",
        cause=CauseCode.HOST_OUT_OF_MEMORY,
        detail="the machine had no more pinned memory for blocks or activations that are moved out of the GPU",
        detail_zh="机器没有更多的锁页内存来存放从 GPU 移出的块或激活值",
        remedy=(
            "lower blocks_to_swap, or set activation_checkpointing = true instead of 'unsloth'; or add memory "
            "(under WSL2, which limits pinned memory, raise `memory` in .wslconfig); the GPU's memory is not "
            "full"
        ),
        remedy_zh=(
            "降低 blocks_to_swap，或设置 activation_checkpointing = true 代替 'unsloth'；也可增加内存（WSL2 限"
            "制锁页内存，请提高 .wslconfig 中的 `memory`）；显存并没有满"
        ),
        examples=(
            (
                '  File "/t/utils/offloading.py", line 119, in weights_to_device\n'
                "torch.AcceleratorError: CUDA error: out of memory"
            ),
            '  File "/t/utils/unsloth_utils.py", line 30, in forward\nRuntimeError: CUDA error: out of memory',
        ),
    ),
    KnownCause(
        "caching_gpu_memory",
        pattern=_CUDA_MEMORY,
        within=r"in _handle_task$",
        cause=CauseCode.CUDA_OUT_OF_MEMORY,
        detail="a GPU ran out of memory while the dataset was cached",
        detail_zh="缓存数据集时显存不足",
        remedy=(
            "lower caching_batch_size, the resolutions or frame_buckets; if a text encoder does not fit, load "
            "it in fewer bits where the model type can (text_encoder_fp8, llama3_4bit), or use a GPU with more "
            "memory"
        ),
        remedy_zh=(
            "降低 caching_batch_size、分辨率或 frame_buckets；若文本编码器放不下，在模型类型支持时以更少的位数"
            "加载（text_encoder_fp8、llama3_4bit），或使用显存更大的 GPU"
        ),
        examples=(
            (
                '  File "/t/x.py", line 9, in cache\n'
                '  File "/t/x.py", line 9, in _handle_task\n'
                '  File "/t/x.py", line 9, in vae_encode\n'
                '  File "/t/x.py", line 9, in _call_impl\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
            (
                '  File "/t/x.py", line 9, in cache\n'
                '  File "/t/x.py", line 9, in _handle_task\n'
                '  File "/t/x.py", line 9, in to\n'
                '  File "/t/x.py", line 9, in _apply\n'
                '  File "/t/x.py", line 9, in convert\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
        ),
    ),
    KnownCause(
        "evaluation_gpu_memory",
        pattern=_CUDA_MEMORY,
        within=r"in (?:_?evaluate(?:_single)?|eval_batch|prepare_block_swap_inference)$",
        cause=CauseCode.CUDA_OUT_OF_MEMORY,
        detail="a GPU ran out of memory in an evaluation",
        detail_zh="评估时显存不足",
        remedy=(
            "remove disable_block_swap_for_eval, if it is set; lower eval_micro_batch_size_per_gpu, and the "
            "resolutions or frame_buckets of the evaluation's dataset; or train without eval_datasets"
        ),
        remedy_zh=(
            "若设置了 disable_block_swap_for_eval，请删除它；降低 eval_micro_batch_size_per_gpu，以及评估数据集"
            "的分辨率或 frame_buckets；或不用 eval_datasets 训练"
        ),
        examples=(
            (
                '  File "/t/x.py", line 9, in evaluate\n'
                '  File "/t/x.py", line 9, in _evaluate\n'
                '  File "/t/x.py", line 9, in evaluate_single\n'
                '  File "/t/x.py", line 9, in eval_batch\n'
                '  File "/t/x.py", line 9, in _call_impl\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
            (
                '  File "/t/x.py", line 9, in evaluate\n'
                '  File "/t/x.py", line 9, in prepare_block_swap_inference\n'
                '  File "/t/x.py", line 9, in to\n'
                '  File "/t/x.py", line 9, in convert\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
        ),
    ),
    KnownCause(
        "loading_gpu_memory",
        pattern=_CUDA_MEMORY,
        within=r"in load_diffusion_model$|PipelineModule\(|in convert$",
        cause=CauseCode.CUDA_OUT_OF_MEMORY,
        detail="the weights do not fit into a GPU's memory",
        detail_zh="GPU 的显存放不下权重",
        remedy=(
            "to train an adapter, set transformer_dtype or diffusion_model_dtype = 'float8', or "
            "blocks_to_swap; or request more GPUs and set pipeline_stages; a smaller batch does not help"
        ),
        remedy_zh=(
            "训练适配器时，设置 transformer_dtype 或 diffusion_model_dtype = 'float8'，或设置 blocks_to_swap；"
            "也可申请更多 GPU 并设置 pipeline_stages；减小批大小没有用"
        ),
        examples=(
            (
                '  File "/t/x.py", line 9, in __init__\n'
                '  File "/t/x.py", line 9, in to\n'
                '  File "/t/x.py", line 9, in _apply\n'
                '  File "/t/x.py", line 9, in convert\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
            (
                '  File "/t/x.py", line 9, in load_diffusion_model\n'
                '  File "/t/x.py", line 9, in from_pretrained\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
        ),
    ),
    KnownCause(
        "optimizer_gpu_memory",
        pattern=_CUDA_MEMORY,
        within=r"in (?:_take_model_step|_init_state|_exec_optimizer_step|load_checkpoint)$",
        cause=CauseCode.CUDA_OUT_OF_MEMORY,
        detail="the state of the optimizer does not fit into a GPU's memory",
        detail_zh="GPU 的显存放不下优化器的状态",
        remedy=(
            "use an 8-bit optimizer (adamw8bitkahan), train an adapter (or one of lower rank), or request more "
            "GPUs and set pipeline_stages; if a resumed training failed, end other programs on its GPUs"
        ),
        remedy_zh=(
            "使用 8 位优化器（adamw8bitkahan），训练适配器（或降低其秩），或申请更多 GPU 并设置 pipeline_stages"
            "；若是恢复的训练失败，请结束其 GPU 上的其他程序"
        ),
        examples=(
            (
                '  File "/t/x.py", line 9, in train_batch\n'
                '  File "/t/x.py", line 9, in _exec_optimizer_step\n'
                '  File "/t/x.py", line 9, in _take_model_step\n'
                '  File "/t/x.py", line 9, in _init_state\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
            (
                '  File "/t/x.py", line 9, in load_checkpoint\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
        ),
    ),
    KnownCause(
        "saving_gpu_memory",
        pattern=_CUDA_MEMORY,
        within=SAVING,
        cause=CauseCode.CUDA_OUT_OF_MEMORY,
        detail="a GPU ran out of memory while a model was saved",
        detail_zh="保存模型时 GPU 显存不足",
        remedy=(
            "saving needs very little of it, so that it was full before: end other programs on the GPU, raise "
            "blocks_to_swap, or lower micro_batch_size_per_gpu or the resolutions a little, then resume"
        ),
        remedy_zh=(
            "保存只需要很少的显存，说明显存此前已满：请结束该 GPU 上的其他程序，提高 blocks_to_swap，或略微降低"
            " micro_batch_size_per_gpu 或分辨率，然后继续训练"
        ),
        examples=(
            (
                '  File "/t/utils/saver.py", line 9, in save_adapter\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 MiB."
            ),
        ),
    ),
    KnownCause(
        "cuda_memory",
        pattern=_CUDA_MEMORY,
        cause=CauseCode.CUDA_OUT_OF_MEMORY,
        detail="a GPU ran out of memory",
        detail_zh="显存不足",
        remedy=(
            "lower micro_batch_size_per_gpu or the resolutions, set activation_checkpointing = true, raise "
            "blocks_to_swap, or request more GPUs and set pipeline_stages; under WSL2, where blocks_to_swap "
            "needs pinned memory, lower it"
        ),
        remedy_zh=(
            "降低 micro_batch_size_per_gpu 或分辨率，设置 activation_checkpointing = true，提高 blocks_to_swap"
            "，或用 pipeline_stages 使用更多 GPU；在 WSL2 下 blocks_to_swap 需要锁页内存，应降低它"
        ),
        examples=(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
            "torch.cuda.OutOfMemoryError: CUDA out of memory.",
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling x",
            "torch.distributed.DistBackendError: NCCL error, unhandled cuda error: Cuda failure 2 'out of memory'",
            (
                '  File "/t/x.py", line 9, in train_batch\n'
                '  File "/t/x.py", line 9, in _exec_forward_pass\n'
                '  File "/t/x.py", line 9, in _call_impl\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
            (
                '  File "/t/utils/offloading.py", line 119, in weights_to_device\n'
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."
            ),
            "torch.OutOfMemoryError",
            "[rank1]: torch.OutOfMemoryError: CUDA out of memory.",
            "OutOfMemoryError: CUDA out of memory",
            "RuntimeError: CUDA error: out of memory",
            "torch.cuda.AcceleratorError: HIP out of memory. Tried to allocate 2.00 GiB",
            "RuntimeError: Triton Error [CUDA]: out of memory",
        ),
    ),
    _SHARED_MEMORY,
    replace(
        _SHARED_MEMORY,
        pattern=r"\[Errno 28\]",
        within=_SHARED,
        examples=(
            '  File "/v/multiprocess/synchronize.py", line 9, in __init__\nOSError: [Errno 28] No space left on device',
        ),
    ),
    KnownCause(
        "shared_memory_closed",
        pattern=r"\[Errno (?:13|30|38)\]",
        within=_SHARED,
        cause=CauseCode.TRAINER_ERROR,
        detail="the trainer cannot use the shared memory (/dev/shm)",
        detail_zh="训练器无法使用共享内存（/dev/shm）",
        remedy=(
            "mount it as tmpfs for all users (`mount -o remount,rw,mode=1777 /dev/shm`; in a container: "
            "--ipc=host or --shm-size)"
        ),
        remedy_zh=(
            "把它挂载为所有用户可用的 tmpfs（`mount -o remount,rw,mode=1777 /dev/shm`；在容器中：--ipc=host 或 "
            "--shm-size）"
        ),
        examples=(
            (
                '  File "/t/utils/dataset.py", line 9, in cache\n'
                '  File "/v/site-packages/multiprocess/synchronize.py", line 9, in __init__\n'
                "PermissionError: [Errno 13] Permission denied"
            ),
        ),
    ),
    KnownCause(
        "host_memory_saving",
        pattern=_HOST_MEMORY,
        within=SAVING,
        cause=CauseCode.HOST_OUT_OF_MEMORY,
        detail="the machine ran out of memory while a model was saved",
        detail_zh="保存模型时机器内存不足",
        remedy=(
            "lower blocks_to_swap, run fewer tasks at once, or add memory or swap space (a whole model needs "
            "up to twice its size while it is saved), then resume; a smaller batch does not help"
        ),
        remedy_zh=(
            "降低 blocks_to_swap，减少同时运行的任务，或增加内存或交换空间（保存整个模型时最多需要其大小的两"
            "倍），然后继续训练；减小批大小没有帮助"
        ),
        examples=('  File "/t/utils/saver.py", line 9, in save_adapter\nMemoryError',),
    ),
    KnownCause(
        "host_memory_loading",
        pattern=_HOST_MEMORY,
        within=r"in (?:load_diffusion_model|load_fn|load_safetensors|iterate_safetensors)$",
        cause=CauseCode.HOST_OUT_OF_MEMORY,
        detail="the machine ran out of memory while weights were loaded",
        detail_zh="载入权重时机器内存不足",
        remedy=(
            "add memory or swap space (under WSL2, raise `memory` in .wslconfig), use weights in fp8 or bf16, "
            "or fewer GPUs, as each GPU's process reads the weights whole"
        ),
        remedy_zh=(
            "增加内存或交换空间（WSL2 下，请调高 .wslconfig 中的 `memory`），使用 fp8 或 bf16 的权重，或使用更"
            "少的 GPU，因为每个 GPU 的进程都会读入全部权重"
        ),
        examples=('  File "/t/x.py", line 9, in load_diffusion_model\nMemoryError',),
    ),
    KnownCause(
        "host_memory",
        pattern=_HOST_MEMORY,
        cause=CauseCode.HOST_OUT_OF_MEMORY,
        detail="the machine ran out of memory",
        detail_zh="机器内存不足",
        remedy=(
            "lower blocks_to_swap, map_num_proc, caching_batch_size or a very high num_repeats, run fewer "
            "tasks at once, or add memory"
        ),
        remedy_zh=(
            "降低 blocks_to_swap、map_num_proc、caching_batch_size 或过高的 num_repeats，减少同时运行的任务，或增加内存"
        ),
        examples=(
            "MemoryError",
            "OSError: [Errno 12] Cannot allocate memory",
            "RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.",
            "ImportError: /v/a.so: failed to map segment from shared object: Cannot allocate memory",
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 3.5 GiB"
            ),
            (
                "RuntimeError: [enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't allocate "
                "memory: you tried to allocate 8 bytes."
            ),
            "RuntimeError: std::bad_alloc",
        ),
    ),
    KnownCause(
        "nvml_assert",
        pattern=r"NVML_SUCCESS == .{0,60}INTERNAL ASSERT",
        remedy=(
            "the GPU's memory was most likely full, and PyTorch could not ask the driver for details: lower "
            "micro_batch_size_per_gpu or the resolutions, and end other programs on the GPU; if memory is "
            "free, run `nvidia-smi` as the trainer's user, and restart the machine or container after a driver "
            "update"
        ),
        remedy_zh=(
            "很可能 GPU 的显存已满，而 PyTorch 无法向驱动查询详情：请降低 micro_batch_size_per_gpu 或分辨率，并"
            "结束该 GPU 上的其他程序；若显存空闲，请以训练器的用户运行 `nvidia-smi`，并在更新驱动后重启机器或容"
            "器"
        ),
        examples=(
            'RuntimeError: NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/c10/cuda/CUDACachingAllocator.cpp":1016',
        ),
    ),
    KnownCause(
        "gpu_memory_or_cudnn",
        pattern=(
            r"CU(?:BLAS|SOLVER|SPARSE)_STATUS_(?!ARCH|NOT_SUPPORTED|INVALID_VALUE)"
            r"|CUDNN_STATUS_(?!\w*VERSION_MISMATCH)|cudnn_frontend|valid cuDNN algorithm"
            r"|unable to find an engine to execute"
        ),
        remedy=(
            "most often the GPU's memory is full: end other programs on it (see `nvidia-smi`), or lower "
            "micro_batch_size_per_gpu or the resolutions; if memory is free, reinstall torch with its nvidia "
            "packages"
        ),
        remedy_zh=(
            "多半是显存已满：请结束该 GPU 上的其他程序（见 `nvidia-smi`），或降低 micro_batch_size_per_gpu 或分"
            "辨率；若显存有余，请重新安装 torch 及其 nvidia 软件包"
        ),
        examples=(
            "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
            "RuntimeError: Unable to find a valid cuDNN algorithm to run convolution",
            (
                '  File "/v/site-packages/deepspeed/runtime/pipe/engine.py", line 9, in train_batch\n'
                '  File "/t/models/a.py", line 9, in forward\n'
                "RuntimeError: cuDNN error: CUDNN_STATUS_BAD_PARAM"
            ),
            "RuntimeError: cudnn_frontend::graph failed to build",
            "RuntimeError: GET was unable to find an engine to execute this computation",
        ),
    ),
    KnownCause(
        "does_not_fit_quantised",
        pattern=r"Found modules on cpu/disk|modules are dispatched on the CPU",
        remedy=(
            "a quantised model does not fit into the GPU's memory: end other programs on that GPU, or use one "
            "with more memory"
        ),
        remedy_zh="量化后的模型放不进显存：请结束该 GPU 上的其他程序，或使用显存更大的 GPU",
        examples=(
            "ValueError: Some modules are dispatched on the CPU or the disk.",
            "ValueError: Found modules on cpu/disk. Using 4-bit or 8-bit needs them on the GPU.",
        ),
    ),
    KnownCause(
        "swap_at_most",
        pattern=r"Cannot swap more than (.{1,60}?)(?: blocks)?\. Requested",
        remedy="lower blocks_to_swap: at most {what} can be swapped",
        remedy_zh="降低 blocks_to_swap：最多可交换 {what}",
        examples=(
            "AssertionError: Cannot swap more than 28 blocks. Requested 40 blocks to swap.",
            "AssertionError: Cannot swap more than 17 double blocks and 36 single blocks. Requested 20 double blocks",
        ),
    ),
    KnownCause(
        "no_swap_or_adapter",
        pattern=r"Block swapping only works when|Block swapping only works with",
        remedy="remove blocks_to_swap, or train an adapter with pipeline_stages = 1",
        remedy_zh="去掉 blocks_to_swap，或以 pipeline_stages = 1 训练适配器",
        examples=(
            "AssertionError: Block swapping only works with pipeline_stages=1",
            "AssertionError: Block swapping only works when training an adapter",
        ),
    ),
    KnownCause(
        "no_swap",
        pattern=r"Block swapping is not implemented",
        remedy="remove blocks_to_swap: this model does not support it",
        remedy_zh="去掉 blocks_to_swap：此模型做不到",
        examples=("NotImplementedError: Block swapping is not implemented for this model",),
    ),
    KnownCause(
        "swap_for_eval",
        pattern=r"(?:Expected all tensors to be on the same device|assert q\.device\.type)(?!.*\[caching\]$)",
        remedy="set disable_block_swap_for_eval = true (or remove blocks_to_swap)",
        remedy_zh="设置 disable_block_swap_for_eval = true（或去掉 blocks_to_swap）",
        examples=("RuntimeError: Expected all tensors to be on the same device, but found cuda:0 and cpu!",),
    ),
    KnownCause(
        "worker_crashed",
        pattern=r"killed by signal: (?:Segmentation fault|Aborted|Illegal instruction|Floating point)",
        remedy=(
            "a worker process crashed in native code, most often while it read a media file or in a package "
            "that does not fit: validate the request again, which names damaged files, and reinstall av, "
            "pillow and numpy in the trainer's environment"
        ),
        remedy_zh=(
            "一个工作进程在原生代码中崩溃，通常是在读取媒体文件时，或在不匹配的软件包中：请再次校验该请求，校验"
            "会列出损坏的文件，并在训练器的环境中重新安装 av、pillow 和 numpy"
        ),
        examples=("RuntimeError: DataLoader worker (pid 7) is killed by signal: Segmentation fault.",),
    ),
    KnownCause(
        "worker_died",
        pattern=(
            r"DataLoader worker .{1,60}(?:exited unexpectedly|killed by signal)|[Pp]in memory thread exited"
            r"|subprocesses has abruptly died|KeyError: '[0-9a-f]{9,16}'|\[worker\]$"
        ),
        remedy=(
            "a worker process ended, most often for lack of memory: look into `dmesg`, lower map_num_proc or "
            "caching_batch_size, and make /dev/shm larger"
        ),
        remedy_zh=(
            "某个工作进程已结束，多半因为内存不足：请查看 `dmesg`，降低 map_num_proc 或 caching_batch_size，并"
            "增大 /dev/shm"
        ),
        examples=(
            "RuntimeError: DataLoader worker (pid(s) 4501) exited unexpectedly",
            "KeyError: '7f8a3c0d2b90'",
            (
                '  File "/t/train.py", line 9, in <module>\n'
                '  File "/v/site-packages/multiprocess/pool.py", line 9, in get\n'
                "BrokenPipeError: [Errno 32] Broken pipe"
            ),
            "RuntimeError: Pin memory thread exited unexpectedly",
            "RuntimeError: One of the subprocesses has abruptly died during map operation.",
        ),
    ),
)
