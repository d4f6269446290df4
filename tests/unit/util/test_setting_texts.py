"""Readers of settings by themselves; tests/unit/config/ tries them with the settings that they read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from api.util import setting_texts as texts


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


@pytest.mark.parametrize("text", ["http://127.0.0.1:6820", "https://head.example.org", "unix:///run/slurmrestd/socket"])
def test_slurm_is_asked_by_http_or_a_socket(text: str):
    assert texts.slurm_url(text) == text


#: What begins as an address does, and is none.
NEARLY = [
    "http://h:port",
    "http://h:99999",
    "http://h ",
    "http://h:1?a",
    "http://h#a",
    "http://[::1",
    "http://h\n",
    "http://",
]


def test_several_heads_are_read_and_each_must_be_an_address():
    assert texts.head_url("http://a:1/, https://b") == "http://a:1,https://b"
    for text in ("http://a,", "http://a,b", "http://a,http://u:p@b", ",".join(["http://a"] * 9)):
        with pytest.raises(ValueError, match=r"address|password"):
            texts.head_url(text)


@pytest.mark.parametrize("text", NEARLY)
@pytest.mark.parametrize("read", [texts.slurm_url, texts.head_url, texts.endpoint, texts.otlp_endpoint, texts.page_url])
def test_what_is_nearly_an_address_is_refused(read: Callable[[str], str], text: str):
    with pytest.raises(ValueError, match=r"address"):
        read(text)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:6820", "ftp://head", "unix://relative", "http://user:secret@head", "unix://"]
)
def test_what_is_no_address_of_slurm_is_refused(text: str):
    with pytest.raises(ValueError, match=r"address|password"):
        texts.slurm_url(text)
