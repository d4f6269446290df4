import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.util.text.formatting import COMMAND_LIMIT, format_duration, format_long_duration, shorten, shorten_command


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (720, "12 minutes"),
        (3599, "1 hour"),
        (7500, "2 hours 5 minutes"),
        (86_400, "1 day"),
        (4 * 86_400 + 3 * 3600, "4 days 3 hours"),
    ],
)
def test_duration_in_words_has_its_two_largest_units(seconds: float, text: str):
    assert format_long_duration(seconds) == text


def test_long_text_is_cut_with_a_mark():
    assert [shorten("abc", 3), shorten("abcd", 3)] == ["abc", "ab…"]


def test_command_line_is_shown_as_a_shell_would_accept_it():
    assert shorten_command(["python", "train.py", "--name", "two words"]) == "python train.py --name 'two words'"


def test_title_of_one_piece_is_not_quoted():
    assert shorten_command(["postgres: writer process   "]) == "postgres: writer process   "


def test_empty_command_line_is_empty():
    assert shorten_command([]) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--wandb_api_key=s3cret"],
        ["train", "--wandb-api-key", "s3cret"],
        ["env", "HF_TOKEN=s3cret", "train"],
        ["train", "--password", "s3cret"],
        ["train", "-passwd", "s3cret"],
        ["train", "--client-secret=s3cret"],
        ["train", "--HUGGINGFACE_TOKEN", "s3cret"],
        ["train", "--credentials", "s3cret"],
        ["train", "--url", "https://user:s3cret@host/x"],
        ["train https://s3cret@host/x"],
        ["train --token=s3cret --epochs 3"],
        ["sh", "-c", "HF_TOKEN=s3cret train"],
    ],
)
def test_secret_is_masked(arguments: list[str]):
    shown = shorten_command(arguments)
    assert "s3cret" not in shown
    assert "***" in shown


def test_secret_with_spaces_is_masked_to_its_end():
    assert "horse" not in shorten_command(["train", "--password=correct horse"])


def test_secret_flag_inside_one_argument_masks_its_value():
    assert "s3cret" not in shorten_command(["sh", "-c", "train --password s3cret"])


def test_flags_after_a_secret_are_shown():
    assert shorten_command(["train", "--token", "x", "--epochs", "3"]).endswith("--epochs 3")


def test_command_line_of_256_characters_is_complete():
    assert shorten_command(["x" * COMMAND_LIMIT]) == "x" * COMMAND_LIMIT


def test_longer_command_line_is_cut_at_256_characters():
    shown = shorten_command(["x" * (COMMAND_LIMIT + 1)])
    assert len(shown) == COMMAND_LIMIT
    assert shown.endswith("x…")


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b[2J", "\x00", "\u202e", "\x9b", "\udcff"])
def test_control_characters_are_replaced(control: str):
    shown = shorten_command(["train", f"a{control}b"])
    assert shown.isprintable()
    assert "\N{REPLACEMENT CHARACTER}" in shown


@given(st.lists(st.text(st.characters(), max_size=400), max_size=30))
def test_any_command_line_is_short_and_printable(arguments: list[str]):
    shown = shorten_command(arguments)
    assert len(shown) <= COMMAND_LIMIT
    assert shown.isprintable()


def test_secret_in_a_long_argument_is_masked():
    for arguments in (
        ["a" * 5000 + "-token=s3cret"],
        ["--" + "token-" * 30 + "=s3cret"],
        ["x " * 100 + "--token s3cret"],
    ):
        assert "s3cret" not in shorten_command(arguments)


def test_text_after_a_masked_secret_is_shown():
    assert shorten_command(["run --token " + "x" * 3000 + " --epochs 3"]) == "run --token *** --epochs 3"


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45s"), (200, "3m 20s"), (7_500, "2h 05m"), (356_400, "4d 3h"), (-90_000, "0s")]
)
def test_duration_has_its_two_largest_units_and_is_never_negative(seconds: float, text: str):
    assert format_duration(seconds) == text
