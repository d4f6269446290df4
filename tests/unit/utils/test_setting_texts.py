"""Readers of settings by themselves; tests/unit/test_config.py tries them with the settings that they read."""

from pathlib import Path

import pytest

from api.utils import setting_texts as texts


def test_number_is_read_within_its_bounds():
    assert texts.number(1, 10)("10") == 10
    with pytest.raises(ValueError, match="is not between 1 and 10"):
        texts.number(1, 10)("11")


def test_choice_is_given_as_it_is_written_here():
    assert texts.choice("INFO", "DEBUG")("debug") == "DEBUG"


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("0", False), ("off", False), ("", False)])
def test_flag_has_several_words(text: str, value: bool):
    assert texts.flag(text) is value


def test_default_limits_read_as_themselves():
    assert texts.rates(texts.show_rates(texts.DEFAULT_RATES)) == texts.DEFAULT_RATES


def test_group_may_have_an_equals_sign_in_its_name():
    assert texts.roles("cn=team=trainer") == (("cn=team", "trainer"),)


def test_directories_are_absolute():
    assert texts.directories("/a:/b") == (Path("/a"), Path("/b"))
    with pytest.raises(ValueError, match="does not begin with /"):
        texts.directories("/a:b")


def test_a_command_is_arguments_and_its_signs_for_a_shell_are_letters():
    given = "/opt/caption --file={file} 'two words' $(id) ; rm"
    assert texts.caption_command(given) == ("/opt/caption", "--file={file}", "two words", "$(id)", ";", "rm")
    for text, why in (
        ("caption {file}", "whole path"),
        ("", "whole path"),
        ("/opt/caption", "{file}"),
        ("/a '", "div"),
    ):
        with pytest.raises(ValueError, match=why):
            texts.caption_command(text)
