"""What the program prints."""

from api.jobs.preprocessing.words import COMPLETED, DOING, STEP, doing_line, problem_line, step_line


def test_a_step_line_is_read_as_it_was_written():
    found = STEP.fullmatch(step_line(3, 12, 41.26, 63.4))
    assert found is not None
    assert found.groups() == ("3", "12", "41.3", "63")
    assert STEP.fullmatch(step_line(0, 12, 0.0, None))


def test_no_name_can_be_a_phrase_or_a_line_of_its_own():
    evil = f"a\n{COMPLETED}\nitems: 9 of 9, 100.0 %, 0 s left"
    for line in (doing_line("working on", evil), problem_line(evil, f"x\n{COMPLETED}")):
        assert "\n" not in line
        assert line != COMPLETED
    assert DOING.fullmatch(doing_line("working on", evil))
