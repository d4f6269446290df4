"""Classification of log lines in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.log import LogLevel, LogType, Meaning
from api.trainers.protocol.log_lines import TRACEBACK_PATIENCE, LineClassifier

DEBUG, INFO, WARNING, ERROR = LogLevel
STEP = "steps: {} loss: 0.5994 iter time (s): 3.162 samples/sec: 0.316"


def read(*lines: str, steps_per_epoch: int | None = None) -> list[Meaning]:
    classifier = LineClassifier(steps_per_epoch)
    return [classifier.read(line) for line in lines]


def levels(*lines: str) -> list[LogLevel]:
    return [meaning.level for meaning in read(*lines)]


def types(*lines: str) -> list[LogType]:
    return [meaning.type for meaning in read(*lines)]


@pytest.mark.parametrize(
    ("line", "step"),
    [
        (STEP.format(17), 17),
        ("[2026-07-30 09:16:29,681] [INFO] [logging.py:123:log_dist] [Rank 0] step=17, skipped=0, lr=[1e-06]", 17),
        ("[2026-07-30 09:16:29,681] [INFO] [x] [Rank 0] [Torch] Checkpoint global_step100 is about to be saved!", 100),
        ("Resuming training from checkpoint. Resuming at epoch: 2, step: 101", 101),
        ("Started new epoch: 2", None),
        ("Saving model to directory epoch1", None),
        ("TRAINING COMPLETE!", None),
        ("Manually quitting", None),
    ],
)
def test_lines_about_steps_epochs_and_saving_have_type_train(line: str, step: int | None):
    [meaning] = read(line)
    assert (meaning.level, meaning.type, meaning.step) == (INFO, LogType.TRAIN, step)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "toy trainer: ready",
        "caching latents: (0.794, 464, 576, 1)",
        "[CACHE] Initializing",
        "Global batch size = 4",
        "100%|██████████| 4/4 [00:00<00:00, 110.20it/s]",
        "[2026-07-30 09:16:29,681] [INFO] [launch.py:1:main] [Rank 0] dist_world_size=1",
    ],
)
def test_other_lines_have_type_system(line: str):
    assert read(line) == [Meaning(INFO, LogType.SYSTEM)]


def test_evaluation_lasts_until_the_next_step():
    lines = (STEP.format(1), "Running eval", "50%|█████     | 1/2", "warm words", STEP.format(2), "words")
    assert types(*lines) == ["train", "eval", "eval", "eval", "train", "system"]


def test_new_attempt_ends_an_evaluation():
    assert types("Running eval", "toy trainer: ready", "words") == ["eval", "system", "system"]


def test_epoch_is_the_announced_one():
    meanings = read(STEP.format(5), "Started new epoch: 2", STEP.format(6), "Running eval")
    assert [meaning.epoch for meaning in meanings] == [None, 2, 2, 2]


def test_epoch_is_derived_from_the_step_if_not_announced():
    meanings = read(STEP.format(10), STEP.format(11), STEP.format(21), steps_per_epoch=10)
    assert [meaning.epoch for meaning in meanings] == [1, 2, 3]


@pytest.mark.parametrize("number", ["0", "9999999999"])
def test_impossible_step_is_ignored(number: str):
    assert read(STEP.format(number))[0].step is None


def test_nan_loss_is_a_warning():
    assert levels("steps: 18 loss: nan iter time (s): 3.235 samples/sec: 0.309") == [WARNING]


TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "train.py", line 1, in <module>',
    "    main()",
    "    ~~~~^^",
    "ValueError: no",
)


@pytest.mark.parametrize("prefix", ["", "[rank0]: ", "[rank12]: "])
def test_all_lines_of_a_traceback_are_errors_but_not_later_lines(prefix: str):
    assert levels(*(prefix + line for line in TRACEBACK), "words") == [ERROR] * 5 + [INFO]


def test_traceback_interleaved_with_other_output_is_an_error():
    first, *rest = TRACEBACK
    assert levels(first, STEP.format(3), *rest) == [ERROR, INFO, ERROR, ERROR, ERROR, ERROR]


def test_chained_tracebacks_are_errors():
    chained = "During handling of the above exception, another exception occurred:"
    assert set(levels(*TRACEBACK, chained, *TRACEBACK)) == {ERROR}


def test_traceback_after_a_progress_bar_is_an_error():
    assert levels(" 50%|███   | 2/4Traceback (most recent call last):", "  File x", "KeyError: 1") == [ERROR] * 3


def test_traceback_without_an_end_is_abandoned():
    quiet = ["output of another process"] * (TRACEBACK_PATIENCE + 1)
    assert levels(TRACEBACK[0], *quiet, "  indented")[-1] is INFO


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("[2026-07-30 09:16:29,681] [WARNING] [x.py:1:y] careful", WARNING),
        ("[2026-07-30 09:16:29,681] [ERROR] [x.py:1:y] wrong", ERROR),
        ("DEBUG:name:words", DEBUG),
        ("ERROR: words", ERROR),
        ("CRITICAL words", ERROR),
        ("[rank0]:[W1124 10:00:00.1 ProcessGroupNCCL.cpp:1] Warning: words", WARNING),
        ("[E1124 10:00:00.1 ProcessGroupNCCL.cpp:1] words", ERROR),
        ("/x.py:1: UserWarning: words", WARNING),
        ("  warnings.warn(", WARNING),
        ("WARNING: words", WARNING),
        ("size bucket (1, 2) is being completely dropped because it doesn't have enough images", WARNING),
        ("Cound not find caption for x. Skipping image.", WARNING),
        ("[17 bytes of output were lost: the disk was full]", WARNING),
        ("torch.OutOfMemoryError: CUDA out of memory.", ERROR),
        ("RuntimeError: words", ERROR),
        ("Watchdog caught collective operation timeout: WorkNCCL(x)", ERROR),
        ("bash: error: x", ERROR),
        ("no errors were found", INFO),
        ("without a warning", INFO),
        ("INFORMATION", INFO),
    ],
)
def test_line_has_the_expected_level(line: str, level: LogLevel):
    assert levels(line) == [level]


@given(st.lists(st.text(max_size=80), max_size=20))
def test_any_lines_are_classified(lines: list[str]):
    assert len(read(*lines)) == len(lines)
