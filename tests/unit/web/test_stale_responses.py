from api.web.responses import ANSWER_BYTES, ANSWERS, TOTAL_BYTES, CachedResponse, ResponseCache


def answer(size: int = 1, requested_at: float = 0.0) -> CachedResponse:
    return CachedResponse(b"x" * size, requested_at)


def test_last_response_of_an_address_is_cached():
    known = ResponseCache()
    known.keep("/a", answer(1), 0)
    known.keep("/a", answer(2), 0)
    assert (known.get("/a"), known.get("/b")) == (answer(2), None)


def test_change_empties_the_cache():
    known = ResponseCache()
    known.keep("/a", answer(), 0)
    known.forget_all()
    assert known.get("/a") is None


def test_response_that_began_before_a_change_is_not_cached():
    known = ResponseCache()
    changes_before = known.changes
    known.forget_all()
    known.keep("/a", answer(), changes_before)
    assert known.get("/a") is None


def test_number_of_responses_is_bounded_and_the_oldest_is_dropped():
    known = ResponseCache()
    for number in range(ANSWERS + 1):
        known.keep(f"/{number}", answer(), 0)
    assert [known.get(f"/{number}") is not None for number in (0, 1, ANSWERS)] == [False, True, True]


def test_bytes_of_responses_are_bounded():
    known = ResponseCache()
    fit = TOTAL_BYTES // ANSWER_BYTES
    for number in range(fit + 1):
        known.keep(f"/{number}", answer(ANSWER_BYTES), 0)
    assert sum(known.get(f"/{number}") is not None for number in range(fit + 1)) == fit


def test_too_large_response_only_removes_the_older_one():
    known = ResponseCache()
    known.keep("/a", answer(), 0)
    known.keep("/a", answer(ANSWER_BYTES + 1), 0)
    assert known.get("/a") is None
