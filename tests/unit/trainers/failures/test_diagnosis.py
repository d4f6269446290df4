import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.tasks.cause import CauseCode
from api.trainers.protocol_trainer import RunProtocol
from api.trainers.trainer import Ending
from tests.unit.trainers.failures.builders import diagnose

WATCHDOG = (
    "[rank0]:[E730 09:16:29.681 ProcessGroupNCCL.cpp:616] [Rank 0] Watchdog caught collective operation timeout: "
    "WorkNCCL(SeqNum=12, OpType=ALLREDUCE, Timeout(ms)=1800000) ran for 1800003 milliseconds before timing out."
)
LAUNCHER_ERROR = (
    "[2026-07-30 09:16:29,681] [ERROR] [launch.py:325:sigkill_handler] ['python', 'train.py'] "
    "exits with return code = {}"
)


def traceback(exception: str, rank: int | None = None) -> list[str]:
    prefix = "" if rank is None else f"[rank{rank}]: "
    return [
        f"{prefix}Traceback (most recent call last):",
        f'{prefix}  File "/opt/trainer/train.py", line 900, in <module>',
        f"{prefix}    loss = model_engine.train_batch(iterator).item()",
        f"{prefix}{exception}",
    ]


@pytest.mark.parametrize(
    ("exception", "code"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", CauseCode.CUDA_OUT_OF_MEMORY),
        ("OSError: [Errno 28] No space left on device", CauseCode.DISK_FULL),
        ("EOFError: Ran out of input", CauseCode.TRAINER_ERROR),
        ("KeyError: 'epochs'", CauseCode.TRAINER_ERROR),
    ],
)
@pytest.mark.parametrize("rank", [None, 1])
def test_exception_determines_the_cause(exception: str, code: CauseCode, rank: int | None):
    cause = diagnose("some line", *traceback(exception, rank))
    assert cause.code is code
    assert exception in cause.detail
    assert cause.remedy
    assert cause.last_lines[0].startswith("Traceback")
    assert cause.last_lines[-1] == exception


def test_message_of_a_cpp_exception_is_the_cause_without_another_error():
    what = "  what():  [Rank 0] Process group watchdog thread terminated with exception: CUDA error: {}"
    lines = (
        "terminate called after throwing an instance of 'c10::DistBackendError'",
        what.format("misaligned address"),
    )
    cause = diagnose(*lines, LAUNCHER_ERROR.format(-6), code=250)
    assert "misaligned address" in cause.detail
    assert "compile = false" in cause.remedy
    assert "epochs" in diagnose(*traceback("KeyError: 'epochs'", 0), *lines, LAUNCHER_ERROR.format(-6)).detail


CACHING = "caching latents: (1.0, 512, 512, 1)"
SHARDS = "Loading checkpoint shards:  50%|#####     | 1/2"


@pytest.mark.parametrize(
    ("lines", "stage", "word"),
    [
        ([], "while it started", "torchvision"),
        ([SHARDS], "while it loaded the model", "Compare the sizes"),
        ([SHARDS, CACHING], "while it cached the dataset", "media files"),
        ([CACHING, SHARDS, "steps: 1 loss: 0.5"], "while it trained", "compile = false"),
    ],
)
def test_stage_of_a_crash_determines_the_remedy(lines: list[str], stage: str, word: str):
    cause = diagnose(*lines, LAUNCHER_ERROR.format(-11), code=245)
    assert f"SIGSEGV {stage}" in cause.detail
    assert word in cause.remedy
    assert "PYTHONFAULTHANDLER=1" in cause.remedy


@pytest.mark.parametrize(
    ("files", "package", "word"),
    [
        (["torch/_ops.py", "flash_attn/a.py", "torch/nn/b.py"], "flash_attn", "in a build for"),
        (["torch/nn/a.py", "transformers/b.py"], "torch", "in a build for"),
        (["av/container.pyi"], "av", "validate the request"),
        (["safetensors/torch.py"], "safetensors", "sizes of the files"),
    ],
)
def test_dump_of_a_crash_names_the_package(files: list[str], package: str, word: str):
    dump = ["Fatal Python error: Segmentation fault", "", "Thread 0x1 (most recent call first):"]
    dump += ['  File "/v/site-packages/numpy/a.py", line 1 in f', "", "Current thread 0x2 (most recent call first):"]
    dump += [f'  File "/v/site-packages/{file}", line 9 in g' for file in files]
    cause = diagnose(CACHING, *dump, "", "Extension modules: a", LAUNCHER_ERROR.format(-11), code=245)
    assert f"`{package}`" in cause.detail
    assert word in cause.remedy.replace("Most", "most").replace("Validate", "validate")


@pytest.mark.parametrize(
    ("number", "word"), [(-25, "LimitFSIZE"), (-24, "LimitCPU"), (-31, "seccomp"), (-10, "resume"), (-7, "/dev/shm")]
)
def test_signal_of_the_kernel_has_its_own_remedy(number: int, word: str):
    assert word in diagnose(LAUNCHER_ERROR.format(number), code=256 + number).remedy


def test_bus_error_while_weights_are_read_is_not_due_to_shared_memory():
    dump = ["Fatal Python error: Bus error", "", "Current thread 0x2 (most recent call first):"]
    dump.append('  File "/v/site-packages/safetensors/torch.py", line 9 in load_file')
    assert "sizes of the files" in diagnose(*dump, LAUNCHER_ERROR.format(-7), code=249).remedy


def test_cpu_without_an_instruction_is_named():
    assert "CPU" in diagnose(LAUNCHER_ERROR.format(-4), code=252).detail


def test_first_error_wins_over_later_ones():
    cause = diagnose(
        *traceback("torch.OutOfMemoryError: CUDA out of memory.", 1),
        *traceback("torch.distributed.DistBackendError: NCCL error: remote process exited", 0),
        WATCHDOG,
        LAUNCHER_ERROR.format(1),
    )
    assert cause.code is CauseCode.CUDA_OUT_OF_MEMORY


@pytest.mark.parametrize(
    "line",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "torch.OutOfMemoryError",
        "torch.cuda.OutOfMemoryError: CUDA out of memory.",
        "[rank1]: torch.OutOfMemoryError: CUDA out of memory.",
        "OutOfMemoryError: CUDA out of memory",
        "RuntimeError: CUDA error: out of memory",
    ],
)
def test_out_of_memory_line_without_a_traceback_is_recognised(line: str):
    found = diagnose("steps: 3 loss: 0.5", line, code=1)
    assert (found.code, "micro_batch_size" in found.remedy) == (CauseCode.CUDA_OUT_OF_MEMORY, True)


OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB."


def test_warnings_further_up_explain_an_error():
    lines = traceback("RuntimeError: Processed dataset was empty. Probably caused by rounding down", 0)
    warning = "video with frames=67 is being skipped because it is too short"
    ending = Ending(1, None, False, frozenset(), lines, warnings=[warning])
    assert "longer clips" in RunProtocol().diagnose(ending).remedy


@pytest.mark.parametrize("end", [" (look up to see its traceback):", ""])
def test_message_of_a_failed_import_is_on_the_next_line(end: str):
    error = f"RuntimeError: Failed to import transformers.models.bloom because of the following error{end}"
    lines = (*traceback(error), "/v/flash_attn_2_cuda.cpython-312.so: undefined symbol: _ZN3c105")
    assert ("Reinstall flash-attn" in diagnose(*lines).remedy) is bool(end)


def test_exception_without_a_traceback_is_the_cause_if_alone():
    assert diagnose("FileNotFoundError: no such model").code is CauseCode.MISSING_FILE
    traceback = ("Traceback (most recent call last):", '  File "a.py", line 1', "KeyError: 'epochs'")
    assert "epochs" in diagnose("ValueError: caught, and printed", *traceback).detail


def test_secondary_error_printed_first_is_not_the_cause():
    cause = diagnose(
        *traceback("ConnectionResetError: [Errno 104] Connection reset by peer", 0),
        *traceback("KeyError: 'epochs'", 1),
    )
    assert (cause.code, cause.detail) == (CauseCode.TRAINER_ERROR, "KeyError: 'epochs'")


def test_interleaved_tracebacks_of_ranks_are_separated():
    first, second = traceback("KeyError: 'epochs'", 0), traceback("EOFError", 1)
    cause = diagnose(*[line for pair in zip(first, second, strict=True) for line in pair])
    assert cause.detail == "KeyError: 'epochs'"
    assert len(cause.last_lines) == 4


def test_last_of_chained_exceptions_is_shown():
    cause = diagnose(
        *traceback("KeyError: 'a'"),
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        *traceback("ValueError: the setting a is missing"),
    )
    assert cause.detail == "ValueError: the setting a is missing"


def chain(*exceptions: str, link: str = "During handling of the above exception, another exception occurred:"):
    for number, exception in enumerate(exceptions):
        yield from (*(["", link, ""] if number else []), *traceback(exception, 0))


HEADER = "safetensors_rust.SafetensorError: Error while deserializing header: "
DECODE = "UnicodeDecodeError: 'utf-8' codec can't decode byte 0x80 in position 0: invalid start byte"
UNLOADED = "OSError: Unable to load weights from checkpoint file for '/m/flux.safetensors' at '/m/flux.safetensors'."
DIRECT = "The above exception was the direct cause of the following exception:"


@pytest.mark.parametrize(
    ("exceptions", "word"),
    [
        ((HEADER + "MetadataIncompleteBuffer", DECODE, UNLOADED), "`/m/flux.safetensors` is damaged"),
        (
            (HEADER + "HeaderTooLarge", "ValueError: Unable to locate the file /m/x", UNLOADED),
            "`/m/flux.safetensors` is no",
        ),
        (("RuntimeError: CUDA error: an illegal memory access was encountered", DECODE, UNLOADED), "Xid"),
        ((DECODE, "datasets.exceptions.DatasetGenerationError: An error occurred while generating"), "UTF-8"),
        (
            ("ModuleNotFoundError: No module named 'ftfy'", "RuntimeError: Failed to import diffusers.pipelines"),
            "`ftfy`",
        ),
        (
            (
                "ImportError: /h/.triton/cache/a/x.so: failed to map segment from shared object",
                "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:",
            ),
            "TRITON_CACHE_DIR",
        ),
        (("AssertionError", "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:"), "compile = false"),
        (("ModuleNotFoundError: No module named 'flash_attn_3'", "RuntimeError: unheard of"), "traceback"),
        (("ModuleNotFoundError: No module named 'a'", "KeyError: 'epochs'"), "`epochs`"),
    ],
)
@pytest.mark.parametrize("link", ["During handling of the above exception, another exception occurred:", DIRECT])
def test_first_of_chained_exceptions_determines_the_remedy_if_it_says_more(
    exceptions: tuple[str, ...], word: str, link: str
):
    assert word in diagnose(*chain(*exceptions, link=link)).remedy


@pytest.mark.parametrize(
    "guess",
    [
        "RuntimeError: Failed to import transformers.models.bloom",
        "torch._dynamo.exc.Unsupported: unheard of",
        "AssertionError: unheard of",
        "KeyError: 'x'",
        "RuntimeError: CUDA error: unheard of",
        "RuntimeError: NCCL unheard of",
        "RuntimeError: unheard of",
    ],
)
def test_guess_about_the_first_exception_says_no_more_than_the_last(guess: str):
    wrapper = "torch._inductor.exc.InductorError: unheard of"
    assert diagnose(*chain(guess, wrapper)).remedy == "Set compile = false."


def test_first_of_chained_exceptions_is_shown_with_the_last_if_it_determines_the_remedy():
    cause = diagnose(*chain(HEADER + "HeaderTooLarge", UNLOADED))
    assert cause.detail == f"{UNLOADED} ({HEADER}HeaderTooLarge)"
    assert {UNLOADED, HEADER + "HeaderTooLarge"} <= set(cause.last_lines)


def test_exceptions_that_are_not_chained_do_not_explain_one_another():
    cause = diagnose(*traceback(HEADER + "HeaderTooLarge", 0), *traceback("ValueError: unheard of", 0))
    assert cause.detail == "ValueError: unheard of"


def test_file_that_comfyui_names_below_its_error_is_in_the_remedy():
    lines = traceback("ValueError: Error while deserializing header: HeaderTooLarge", 0)
    cause = diagnose(*lines, "[rank0]: ", "[rank0]: File path: /m/my vae.safetensors", "[rank0]: ", "[rank0]: The file")
    assert "`/m/my vae.safetensors` is no safetensors file" in cause.remedy


def test_error_before_further_steps_is_not_the_cause():
    cause = diagnose(
        *traceback("FileNotFoundError: [Errno 2] No such file or directory: 'libbitsandbytes.so'"),
        "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 1.0",
        *traceback("torch.OutOfMemoryError: CUDA out of memory."),
    )
    assert cause.code is CauseCode.CUDA_OUT_OF_MEMORY


def test_error_before_a_late_step_line_is_still_found():
    cause = diagnose(*traceback("KeyError: 'epochs'", 1), "steps: 9 loss: 0.5 iter time (s): 1.0 samples/sec: 1.0")
    assert cause.detail == "KeyError: 'epochs'"


def test_ignored_exception_is_not_the_cause():
    lines = ["Exception ignored in: <function _Pool.__del__ at 0x7f>", *traceback("FileNotFoundError: /x")]
    assert diagnose(*lines, *traceback("KeyError: 'dtype'")).detail == "KeyError: 'dtype'"


@pytest.mark.parametrize(
    "line",
    [WATCHDOG, "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients. 1/2 joined."],
)
def test_rank_that_waited_is_not_the_cause_if_another_one_failed(line: str):
    assert diagnose("Traceback (most recent call last):", line, *traceback("KeyError: 'epochs'", 1)).detail == (
        "KeyError: 'epochs'"
    )


def test_watchdog_message_alone_is_a_timeout_of_the_ranks():
    cause = diagnose("steps: 9 loss: 0.5", WATCHDOG, "terminate called after throwing an instance of 'x'", code=250)
    assert cause.code is CauseCode.NCCL_TIMEOUT


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["caching latents: (1.0, 512, 512, 1)", " 61%|██████    | 1207/1980 [30:02<19:40,  1.53s/it]"], "on one GPU"),
        (["caching latents: (1.0, 512, 512, 1)", "trainable params: 10 || all params: 20"], "NCCL_P2P_DISABLE"),
        (["[CACHE] Initializing", "steps: 1 loss: 0.1 iter time (s): 1.0"], "NCCL_P2P_DISABLE"),
    ],
)
def test_timeout_of_the_ranks_while_one_caches_is_not_the_fault_of_the_network(lines: list[str], word: str):
    cause = diagnose(*lines, WATCHDOG, code=-6)
    assert (cause.code, word in cause.remedy) == (CauseCode.NCCL_TIMEOUT, True)


def test_timeout_of_the_first_operation_is_not_due_to_caching():
    first = WATCHDOG.replace("SeqNum=12", "SeqNum=1")
    assert "NCCL_P2P_DISABLE" in diagnose("caching latents: (1.0, 512, 512, 1)", first, code=-6).remedy


def test_killed_rank_wins_over_the_timeout_of_other_ranks():
    assert diagnose(LAUNCHER_ERROR.format(-9), WATCHDOG, code=247).code is CauseCode.HOST_OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("exit_code", "number", "code"),
    [
        (247, None, CauseCode.HOST_OUT_OF_MEMORY),
        (137, None, CauseCode.HOST_OUT_OF_MEMORY),
        (None, 9, CauseCode.HOST_OUT_OF_MEMORY),
        (241, None, CauseCode.KILLED),
        (143, None, CauseCode.KILLED),
        (None, 15, CauseCode.KILLED),
        (245, None, CauseCode.TRAINER_ERROR),
        (255, None, CauseCode.TRAINER_ERROR),  # exit(-1)
        (None, 11, CauseCode.TRAINER_ERROR),
    ],
)
def test_signal_without_output_determines_the_cause(exit_code: int | None, number: int | None, code: CauseCode):
    assert diagnose("steps: 9 loss: 0.5", code=exit_code, number=number).code is code


def test_signal_reported_by_the_launcher_determines_the_cause():
    line = "[2026-07-30 09:16:29,681] [INFO] [launch.py:335:sigkill_handler] Main process received SIGTERM, exiting"
    assert diagnose("steps: 9 loss: 0.5", line, code=1).code is CauseCode.KILLED


def test_fatal_message_without_an_exception_wins_over_the_report_of_the_launcher():
    cause = diagnose("Error named symbol not found at line 62 in file /src/csrc/ops.cu", LAUNCHER_ERROR.format(1))
    assert "bitsandbytes" in cause.remedy


def test_kill_during_a_stop_is_not_out_of_memory():
    assert diagnose(number=9, code=None, stop_requested=True).code is CauseCode.KILLED


def test_nan_losses_are_the_cause_if_there_is_no_other():
    lines = [f"steps: {step} loss: nan" for step in range(1, 21)]
    assert diagnose(*lines, code=1, nan=20).code is CauseCode.NAN_LOSS
    assert diagnose(*lines, *traceback("torch.OutOfMemoryError: x"), nan=20).code is CauseCode.CUDA_OUT_OF_MEMORY


def test_exit_code_0_without_a_phrase_did_not_train():
    assert diagnose("Global batch size = 4", code=0).code is CauseCode.DID_NOT_TRAIN


def test_too_many_resolutions_are_reported():
    cause = diagnose("WARNING: You have set a lot of resolutions in the dataset config. Please read", code=0)
    assert (cause.code, "at most 3 resolutions" in cause.remedy) == (CauseCode.DID_NOT_TRAIN, True)


def test_sizes_that_cosmos_does_not_support_are_reported():
    cause = diagnose("WARNING: Cosmos supports a limited set of resolutions. Anything else", code=0)
    assert (cause.code, "size_buckets" in cause.remedy) == (CauseCode.DID_NOT_TRAIN, True)


def test_quitting_without_a_stop_is_reported():
    assert diagnose("Manually quitting", code=0, phrases={"Manually quitting"}).code is CauseCode.QUIT_UNASKED


def test_memory_held_by_another_process_is_named():
    free = "GPU 0 has a total capacity of 23.65 GiB of which 20.00 MiB is free."
    own = "Including non-PyTorch memory, this process has 13.52 GiB memory in use."
    error = f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. {free}"
    shared = diagnose(*traceback(f"{error} Process 4711 has 10.02 GiB memory in use. {own}"))
    assert (shared.code, "End the other program" in shared.remedy) == (CauseCode.CUDA_OUT_OF_MEMORY, True)
    assert "other program" not in diagnose(*traceback(f"{error} {own}")).remedy


def test_rejected_argument_is_shown():
    cause = diagnose("usage: train.py [-h]", "train.py: error: unrecognized arguments: --x", code=2)
    assert cause.detail == "train.py: error: unrecognized arguments: --x"


@pytest.mark.parametrize("code", [126, 127])
def test_program_that_did_not_start_is_named_by_its_exit_code(code: int):
    cause = diagnose("/bin/sh: 1: exec: /v/python: Permission denied", code=code)
    assert (cause.said, "DIFFUSION_PIPE_PYTHON" in cause.remedy) == ("not_started", True)


@pytest.mark.parametrize("prefix", ["", "[rank0]: "])
def test_unfinished_merge_in_the_trainer_is_not_an_old_python(prefix: str):
    lines = ('  File "/t/train.py", line 9', "    <<<<<<< HEAD", "    ^^", "SyntaxError: invalid syntax")
    assert "git status" in diagnose(*(f"{prefix}{line}" for line in lines)).remedy
    assert "3.12" in diagnose(f"{prefix}{lines[-1]}").remedy


def test_failure_without_an_error_shows_the_last_lines():
    cause = diagnose(*[f"line {count}" for count in range(30)], code=3)
    assert cause.code is CauseCode.TRAINER_ERROR
    assert "exit code 3" in cause.detail
    assert cause.last_lines == tuple(f"line {count}" for count in range(20, 30))


@given(
    lines=st.lists(
        st.one_of(
            st.text(max_size=100),
            st.sampled_from([*traceback("KeyError: 'x'", 0), *traceback("EOFError"), WATCHDOG, "KeyError: '{}'"]),
        ),
        max_size=30,
    ),
    code=st.one_of(st.none(), st.integers(-500, 500)),
    number=st.one_of(st.none(), st.integers(0, 200)),
    stop_requested=st.booleans(),
    nan=st.integers(0, 20),
)
def test_every_ending_has_a_cause(lines, code, number, stop_requested, nan):
    cause = diagnose(*lines, code=code, number=number, stop_requested=stop_requested, nan=nan)
    assert cause.detail
    assert cause.remedy
    assert len(cause.last_lines) <= 30


@pytest.mark.parametrize("rank", [None, 0])
def test_traceback_after_a_progress_bar_is_read(rank: int | None):
    first, *rest = traceback("torch.OutOfMemoryError: CUDA out of memory.", rank)
    cause = diagnose(f" 25%|██        | 2/8 [00:00<00:00, 9.00it/s]{first}", *rest)
    assert cause.code is CauseCode.CUDA_OUT_OF_MEMORY
    assert cause.last_lines[0] == "Traceback (most recent call last):"


def test_program_without_execute_permission_is_the_cause():
    cause = diagnose("setpriv: failed to execute /home/me/venv/bin/python: Permission denied", code=126)
    assert cause.code is CauseCode.TRAINER_ERROR
    assert "setpriv: failed to execute /home/me/venv/bin/python" in cause.detail
    assert "TRAINER_USER" in cause.remedy


def test_processes_that_lose_the_failed_one_do_not_hide_its_error():
    lines = """ 17%|█▋        | 1/6 [00:03<00:18,  3.61s/it][rank0]: Traceback (most recent call last):
[rank0]:   File "FOLDER/tree/utils/dataset.py", line 1200, in cache
[rank0]:     self._handle_task(task)
[rank0]: IndexError: index out of range in self
multiprocess.pool.RemoteTraceback:
Traceback (most recent call last):
  File "multiprocess/connection.py", line 399, in _recv
    chunk = read(handle, remaining)
ConnectionResetError: [Errno 104] Connection reset by peer
Process ForkPoolWorker-3:
Traceback (most recent call last):
  File "multiprocess/connection.py", line 639, in SocketClient
    s.connect(address)
FileNotFoundError: [Errno 2] No such file or directory""".splitlines()
    found = diagnose(*lines)
    assert found.code is CauseCode.TRAINER_ERROR
    assert found.detail.startswith("IndexError: index out of range in self")


def test_lines_after_the_exception_belong_to_it():
    mismatch = "\tsize mismatch for a.lora_A.default.weight: copying a param with shape torch.Size([16, 8])"
    cause = diagnose(
        *traceback("RuntimeError: Error(s) in loading state_dict for WanModel:", 0),
        f"[rank0]: {mismatch}",
        LAUNCHER_ERROR.format(1),
    )
    assert "`rank` in [adapter] to 16" in str(cause.remedy)
    assert mismatch in cause.last_lines


def test_small_shared_memory_is_the_cause_of_a_lost_worker():
    cause = diagnose(
        *traceback("RuntimeError: DataLoader worker (pid(s) 4501) exited unexpectedly"),
        "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm).",
    )
    assert cause.code is CauseCode.HOST_OUT_OF_MEMORY
    assert "/dev/shm" in str(cause.remedy)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "killed_before_training"),
        ("caching latents: (1.0, 512, 512, 1)", "killed_before_training"),
        ("Loading checkpoint shards: 100%|████| 6/6 [00:15<00:00,  2.53s/it]", "killed_before_training"),
        ("Block swap enabled. Swapping 20 blocks out of 40 blocks.", "killed_for_memory"),
        ("Saving model to directory epoch2", "killed_saving"),
        ("[Rank 0] [Torch] Checkpoint global_step9 is about to be saved!", "killed_saving"),
        ("Started new epoch: 3", "killed_for_memory"),
        ("steps: 9 loss: 0.5 iter time (s): 1.0 samples/sec: 1.0", "killed_for_memory"),
    ],
)
def test_stage_of_a_kill_determines_what_needs_less_memory(line: str, said: str):
    started = "[2026-07-30 09:16:29,681] [INFO] [comm.py:852:init_distributed] Initializing TorchBackend in DeepSpeed"
    cause = diagnose(started, line, LAUNCHER_ERROR.format(-9), code=247)
    assert (cause.said, ".wslconfig" in cause.remedy) == (said, True)


def test_message_that_begins_on_the_next_line_is_shown():
    cause = diagnose(
        "[rank0]: Traceback (most recent call last):",
        '[rank0]:   File "/v/bitsandbytes/cextension.py", line 290, in __getattr__',
        "[rank0]: RuntimeError: ",
        "[2026-07-30 09:16:29,681] [INFO] [launch.py:335:sigkill_handler] Killing subprocess 7",
        "[rank0]: CUDA VERSION MISMATCH",
    )
    assert cause.detail == "RuntimeError: CUDA VERSION MISMATCH"


@pytest.mark.parametrize("line", [LAUNCHER_ERROR.format(1), "Exception ignored in atexit callback: <function f>"])
def test_other_lines_are_no_part_of_an_empty_message(line: str):
    assert diagnose(*traceback("RuntimeError: "), line).detail == "RuntimeError:"


@pytest.mark.parametrize(("code", "word"), [(1, "Xid"), (-6, "Xid"), (-9, "memory")])
def test_exception_without_a_traceback_explains_an_abort_but_not_a_kill(code: int, word: str):
    cause = diagnose(
        "[rank0]: torch.AcceleratorError: CUDA error: unspecified launch failure",
        "terminate called after throwing an instance of 'c10::AcceleratorError'",
        LAUNCHER_ERROR.format(code),
        code=code % 256,
    )
    assert word in str(cause.remedy)


WARNING = "[2025-08-19 23:19:36,234] [WARNING] [engine.py:2979:load_checkpoint] Unable to find latest file at /r/latest"


@pytest.mark.parametrize(
    ("lines", "detail", "remedy"),
    [
        ([WARNING], "AssertionError: Unable to find latest file at /r/latest; load_path is not None", "no checkpoint"),
        (["some line"], "AssertionError: load_path is not None", "no checkpoint"),
        ([WARNING, "some line"], "AssertionError: load_path is not None", "no checkpoint"),
    ],
)
@pytest.mark.parametrize("rank", [None, 0])
def test_assertion_without_a_message_is_explained(lines: list[str], detail: str, remedy: str, rank: int | None):
    first, *_ = traceback("", rank)
    prefix = first.removesuffix("Traceback (most recent call last):")
    rest = ['  File "/w/train.py", line 879, in <module>', "    assert load_path is not None", "AssertionError"]
    cause = diagnose(*lines, first, *(prefix + line for line in rest))
    assert cause.detail == detail
    assert remedy in cause.remedy


def test_traceback_that_was_only_printed_is_not_the_cause():
    printed = traceback("FileNotFoundError: [Errno 2] No such file or directory: '/usr/local/cuda/bin/nvcc'")
    assert diagnose(*printed, "going on", *traceback("KeyError: 'epochs'", 0)).detail == "KeyError: 'epochs'"
    child = ["Process ForkPoolWorker-3:", *traceback("UnicodeDecodeError: 'utf-8' codec can't decode")]
    assert "UTF-8" in diagnose(*child, *traceback("RuntimeError: One of the subprocesses has abruptly died", 0)).remedy


def test_worker_of_the_data_loader_shows_its_own_error():
    passed_on = traceback("OSError: Caught OSError in DataLoader worker process 0.", 0)
    cause = diagnose(
        *passed_on, "[rank0]: Original " + traceback("", 0)[0][9:], "[rank0]: OSError: image file is truncated"
    )
    assert "an image is damaged" in cause.remedy.lower()


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("python: can't open file '/t/train.py': [Errno 2] No such file or directory", 2, "DIFFUSION_PIPE_ROOT"),
        ("/usr/bin/python3: No module named deepspeed", 1, "DIFFUSION_PIPE_PYTHON"),
        (
            "/v/python3: Error while finding module specification for 'a.b' (ModuleNotFoundError: No module named 'a')",
            1,
            "DIFFUSION_PIPE_PYTHON",
        ),
        ("rocBLAS error: Cannot read library/TensileLibrary.dat: No such file or directory", 250, "for this GPU"),
        ("/usr/bin/env: 'python': No such file or directory", 127, "DIFFUSION_PIPE_PYTHON"),
        ("Error invalid configuration argument at line 216 in file /src/csrc/ops.cu", 1, "bitsandbytes"),
        (
            "Memory access fault by GPU node-1 (Agent handle: 0x5) on address 0x7. Reason: Page not present",
            250,
            "driver",
        ),
        ("Loading checkpoint shards: 100%", 1, "dmesg"),
        (
            "Could not load library libcudnn_ops.so.9. Error: libcudnn_ops.so.9: cannot open shared",
            250,
            "nvidia packages",
        ),
        ("[PG 0 Rank 0] ProcessGroupNCCL's watchdog got stuck for 480 seconds", 250, "DEEPSPEED_TIMEOUT"),
    ],
)
def test_messages_without_a_traceback_have_a_remedy(line: str, code: int, word: str):
    assert word in diagnose(line, code=code).remedy
