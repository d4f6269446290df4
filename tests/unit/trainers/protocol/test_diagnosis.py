import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.cause import Cause, CauseCode
from api.trainers.protocol.run import RunProtocol
from api.trainers.trainer import Ending

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


def diagnose(
    *lines: str, code: int | None = 1, number: int | None = None, stop_requested: bool = False, phrases=(), nan: int = 0
) -> Cause:
    return RunProtocol().diagnose(Ending(code, number, stop_requested, frozenset(phrases), lines, nan))


@pytest.mark.parametrize(
    ("exception", "code"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", CauseCode.CUDA_OUT_OF_MEMORY),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", CauseCode.CUDA_OUT_OF_MEMORY),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling x", CauseCode.CUDA_OUT_OF_MEMORY),
        (
            "torch.distributed.DistBackendError: NCCL error, unhandled cuda error: Cuda failure 2 'out of memory'",
            CauseCode.CUDA_OUT_OF_MEMORY,
        ),
        ("MemoryError", CauseCode.HOST_OUT_OF_MEMORY),
        ("OSError: [Errno 12] Cannot allocate memory", CauseCode.HOST_OUT_OF_MEMORY),
        ("RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.", CauseCode.HOST_OUT_OF_MEMORY),
        (
            "RuntimeError: unable to write to file </torch_123_4>: No space left on device (28)",
            CauseCode.HOST_OUT_OF_MEMORY,
        ),
        ("OSError: [Errno 28] No space left on device", CauseCode.DISK_FULL),
        (
            "RuntimeError: PytorchStreamWriter failed writing file data/3: file write failed",
            CauseCode.DISK_FULL,
        ),
        ("RuntimeError: basic_ios::clear: iostream error", CauseCode.DISK_FULL),
        ("RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 768 vs 662", CauseCode.DISK_FULL),
        ("torch.distributed.DistNetworkError: EADDRINUSE, address already in use", CauseCode.PORT_IN_USE),
        ("RuntimeError: CUDA error: uncorrectable ECC error encountered", CauseCode.GPU_LOST),
        ("RuntimeError: No CUDA GPUs are available", CauseCode.GPU_LOST),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/m/flux'", CauseCode.MISSING_FILE),
        ("OSError: /m/flux does not appear to have a file named config.json.", CauseCode.MISSING_FILE),
        (
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'a/b': '/m/x'",
            CauseCode.MISSING_FILE,
        ),
        ("safetensors_rust.SafetensorError: No such file or directory: /m/x.safetensors", CauseCode.MISSING_FILE),
        ("RuntimeError: CUDA error: device-side assert triggered", CauseCode.TRAINER_ERROR),
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


def test_exception_without_a_traceback_is_the_cause_if_alone():
    assert diagnose("FileNotFoundError: no such model").code is CauseCode.MISSING_FILE
    traceback = ("Traceback (most recent call last):", '  File "a.py", line 1', "KeyError: 'epochs'")
    assert "epochs" in diagnose("ValueError: caught, and told", *traceback).detail


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


def test_watchdog_message_alone_is_a_timeout_of_the_ranks():
    cause = diagnose("steps: 9 loss: 0.5", WATCHDOG, "terminate called after throwing an instance of 'x'", code=250)
    assert cause.code is CauseCode.NCCL_TIMEOUT


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


def test_quitting_without_a_stop_is_reported():
    assert diagnose("Manually quitting", code=0, phrases={"Manually quitting"}).code is CauseCode.QUIT_UNASKED


def test_missing_key_has_a_remedy():
    assert "Set `epochs`" in diagnose(*traceback("KeyError: 'epochs'")).remedy
    assert "`rank`" in diagnose(*traceback("KeyError: 'rank'")).remedy


def test_remains_of_an_interrupted_save_have_a_remedy():
    cause = diagnose(*traceback("FileExistsError: [Errno 17] File exists: '/out/x/epoch1/tmp'"))
    assert "resume" in cause.remedy


def test_rejected_argument_is_shown():
    cause = diagnose("usage: train.py [-h]", "train.py: error: unrecognized arguments: --x", code=2)
    assert cause.detail == "train.py: error: unrecognized arguments: --x"


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


@pytest.mark.parametrize(
    "line",
    [
        "huggingface_hub.errors.GatedRepoError: 403 Client Error.",
        "OSError: You are trying to access a gated repo.",
        "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1)",
    ],
)
def test_gated_model_has_a_remedy(line: str):
    found = diagnose("Traceback (most recent call last):", line)
    assert (found.code, "licence" in found.remedy, "HF_TOKEN" in found.remedy) == (CauseCode.MISSING_FILE, True, True)


def test_program_without_execute_permission_is_the_cause():
    cause = diagnose("setpriv: failed to execute /home/me/venv/bin/python: Permission denied", code=126)
    assert cause.code is CauseCode.TRAINER_ERROR
    assert "setpriv: failed to execute /home/me/venv/bin/python" in cause.detail
    assert "TRAINER_USER" in cause.remedy
