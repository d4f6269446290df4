from api.trainers.protocol.error_lines import LINE_LIMIT, TRACEBACK_LIMIT, find_errors


def traceback(exception: str, rank: int | None = None, frames: int = 1) -> list[str]:
    prefix = "" if rank is None else f"[rank{rank}]: "
    frame = [f'{prefix}  File "train.py", line {line}' for line in range(frames)]
    return [f"{prefix}Traceback (most recent call last):", *frame, f"{prefix}{exception}"]


def test_an_exception_has_its_rank_its_class_and_the_lines_that_lead_to_it():
    (error,) = find_errors(["before", *traceback("torch.cuda.OutOfMemoryError: out of memory", rank=3)])
    assert (error.rank, error.exception, error.position) == ("3", "OutOfMemoryError", 3)
    assert error.text == "torch.cuda.OutOfMemoryError: out of memory"
    assert error.traceback == (
        "Traceback (most recent call last):",
        '  File "train.py", line 0',
        "torch.cuda.OutOfMemoryError: out of memory",
    )


def test_tracebacks_of_two_ranks_that_interleave_are_told_apart():
    one, other = traceback("ValueError: a", rank=0), traceback("KeyError: b", rank=1)
    errors = find_errors([line for pair in zip(one, other, strict=True) for line in pair])
    assert [(error.rank, error.exception, len(error.traceback)) for error in errors] == [
        ("0", "ValueError", 3),
        ("1", "KeyError", 3),
    ]


def test_what_stands_before_the_last_step_was_survived():
    survived, fatal = traceback("ValueError: a"), traceback("KeyError: b")
    assert [error.exception for error in find_errors([*survived, "steps: 7 loss: 1", *fatal])] == ["KeyError"]
    assert [error.exception for error in find_errors([*survived, "steps: 7 loss: 1"])] == ["ValueError"]


def test_a_sign_without_a_traceback_is_an_error_without_a_class():
    (error,) = find_errors(["[rank1]: [E ProcessGroupNCCL.cpp] Watchdog caught collective operation timeout"])
    assert (error.rank, error.exception, error.traceback) == ("1", None, ())


def test_a_bare_exception_counts_only_where_nothing_else_was_said():
    assert [error.is_bare for error in find_errors(["RuntimeError: alone"])] == [True]
    assert [error.exception for error in find_errors(["RuntimeError: alone", *traceback("KeyError: b")])] == [
        "KeyError"
    ]


def test_an_ignored_exception_is_none():
    assert find_errors(["Exception ignored in: <function>", *traceback("KeyError: b")]) == ()


def test_long_lines_and_long_tracebacks_are_cut():
    (error,) = find_errors(traceback("KeyError: " + "b" * 10_000, frames=1000))
    assert len(error.text) <= LINE_LIMIT
    assert len(error.traceback) == TRACEBACK_LIMIT
    assert error.traceback[-1] == error.text
