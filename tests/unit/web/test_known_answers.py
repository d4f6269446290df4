from api.web.known_answers import ANSWER_BYTES, ANSWERS, TOTAL_BYTES, KnownAnswer, KnownAnswers


def answer(size: int = 1, asked_at: float = 0.0) -> KnownAnswer:
    return KnownAnswer(b"x" * size, asked_at)


def test_the_last_answer_of_an_address_is_known():
    known = KnownAnswers()
    known.keep("/a", answer(1), 0)
    known.keep("/a", answer(2), 0)
    assert (known.get("/a"), known.get("/b")) == (answer(2), None)


def test_a_change_makes_all_forgotten():
    known = KnownAnswers()
    known.keep("/a", answer(), 0)
    known.forget_all()
    assert known.get("/a") is None


def test_answer_that_was_begun_before_a_change_is_not_kept():
    known = KnownAnswers()
    begun = known.changes
    known.forget_all()
    known.keep("/a", answer(), begun)
    assert known.get("/a") is None


def test_answers_are_bounded_in_number_and_the_oldest_goes():
    known = KnownAnswers()
    for number in range(ANSWERS + 1):
        known.keep(f"/{number}", answer(), 0)
    assert [known.get(f"/{number}") is not None for number in (0, 1, ANSWERS)] == [False, True, True]


def test_answers_are_bounded_in_bytes():
    known = KnownAnswers()
    fit = TOTAL_BYTES // ANSWER_BYTES
    for number in range(fit + 1):
        known.keep(f"/{number}", answer(ANSWER_BYTES), 0)
    assert sum(known.get(f"/{number}") is not None for number in range(fit + 1)) == fit


def test_answer_that_is_too_large_replaces_an_older_one_by_nothing():
    known = KnownAnswers()
    known.keep("/a", answer(), 0)
    known.keep("/a", answer(ANSWER_BYTES + 1), 0)
    assert known.get("/a") is None
