from api.trainers.protocol.error_lines import LINE_LIMIT, TRACEBACK_LIMIT, find_errors


def traceback(exception: str, rank: int | None = None, frames: int = 1) -> list[str]:
    prefix = "" if rank is None else f"[rank{rank}]: "
    frame = [f'{prefix}  File "train.py", line {line}' for line in range(frames)]
    return [f"{prefix}Traceback (most recent call last):", *frame, f"{prefix}{exception}"]


def test_exception_has_rank_class_and_traceback():
    (error,) = find_errors(["before", *traceback("torch.cuda.OutOfMemoryError: out of memory", rank=3)])
    assert (error.rank, error.exception, error.position) == ("3", "OutOfMemoryError", 3)
    assert error.text == "torch.cuda.OutOfMemoryError: out of memory"
    assert error.traceback == (
        "Traceback (most recent call last):",
        '  File "train.py", line 0',
        "torch.cuda.OutOfMemoryError: out of memory",
    )


def test_interleaved_tracebacks_of_two_ranks_are_separated():
    one, other = traceback("ValueError: a", rank=0), traceback("KeyError: b", rank=1)
    errors = find_errors([line for pair in zip(one, other, strict=True) for line in pair])
    assert [(error.rank, error.exception, len(error.traceback)) for error in errors] == [
        ("0", "ValueError", 3),
        ("1", "KeyError", 3),
    ]


def test_errors_before_the_last_step_are_left_out():
    survived, fatal = traceback("ValueError: a"), traceback("KeyError: b")
    assert [error.exception for error in find_errors([*survived, "steps: 7 loss: 1", *fatal])] == ["KeyError"]
    assert [error.exception for error in find_errors([*survived, "steps: 7 loss: 1"])] == ["ValueError"]


def test_fatal_message_without_a_traceback_has_no_class():
    (error,) = find_errors(["[rank1]: [E ProcessGroupNCCL.cpp] Watchdog caught collective operation timeout"])
    assert (error.rank, error.exception, error.traceback) == ("1", None, ())


def test_exception_without_a_traceback_counts_only_if_alone():
    assert [error.is_bare for error in find_errors(["RuntimeError: alone"])] == [True]
    assert [error.exception for error in find_errors(["RuntimeError: alone", *traceback("KeyError: b")])] == [
        "KeyError"
    ]


def test_ignored_exception_is_left_out():
    assert find_errors(["Exception ignored in: <function>", *traceback("KeyError: b")]) == ()


def test_long_lines_and_tracebacks_are_truncated():
    (error,) = find_errors(traceback("KeyError: " + "b" * 10_000, frames=1000))
    assert len(error.text) <= LINE_LIMIT
    assert len(error.traceback) == TRACEBACK_LIMIT
    assert error.traceback[-1] == error.text
