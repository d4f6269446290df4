from api.domain.finding import pointer, shown


def test_parts_of_a_pointer_are_escaped():
    assert pointer("a", 0, "b/c", "d~e") == "/a/0/b~1c/d~0e"
    assert pointer() == ""


def test_name_is_shown_on_one_line():
    assert shown("é\n\x1b[31m") == "é\\n\\x1b[31m"
    assert shown("\ud800") == "\\ud800"
    assert shown(17) == "17"


def test_long_name_is_truncated():
    assert shown("x" * 80) == "x" * 80
    assert shown("x" * 81) == "x" * 80 + "…"
