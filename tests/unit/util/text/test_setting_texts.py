"""Parsers of settings alone; tests/unit/config/ tests them with the settings that use them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from api.util.text import setting_texts as texts


@pytest.mark.parametrize("text", ["cuda0", "GPU 0", "0;1", "all", "-1", "node:", "GPU-"])
def test_names_that_no_gpu_can_have_are_refused(text: str):
    with pytest.raises(ValueError, match="neither the index nor the UUID"):
        texts.gpu_names(text)
    assert texts.gpu_names(" 0, gpu2:1,GPU-7f3a-00 ") == ("0", "gpu2:1", "GPU-7f3a-00")


def test_number_must_be_within_its_bounds():
    assert texts.number(1, 10)("10") == 10
    with pytest.raises(ValueError, match="is not between 1 and 10"):
        texts.number(1, 10)("11")


def test_choice_is_returned_in_its_canonical_form():
    assert texts.choice("INFO", "DEBUG")("debug") == "DEBUG"


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("0", False), ("off", False), ("", False)])
def test_flag_accepts_several_words(text: str, value: bool):
    assert texts.flag(text) is value


def test_default_limits_are_valid():
    assert texts.rates(texts.show_rates(texts.DEFAULT_RATES)) == texts.DEFAULT_RATES


def test_group_may_contain_an_equals_sign():
    assert texts.roles("cn=team=trainer") == (("cn=team", "trainer"),)


def test_directories_are_absolute():
    assert texts.directories("/a:/b") == (Path("/a"), Path("/b"))
    with pytest.raises(ValueError, match="does not begin with /"):
        texts.directories("/a:b")


def test_command_is_split_into_arguments_without_a_shell():
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
def test_slurm_is_reached_by_http_or_a_socket(text: str):
    assert texts.slurm_url(text) == text


#: Texts that start like an address but are none.
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


def test_several_heads_are_parsed_and_each_must_be_an_address():
    assert texts.head_url("http://a:1/, https://b") == "http://a:1,https://b"
    for text in ("http://a,", "http://a,b", "http://a,http://u:p@b", ",".join(["http://a"] * 9)):
        with pytest.raises(ValueError, match=r"address|password"):
            texts.head_url(text)


@pytest.mark.parametrize("text", NEARLY)
@pytest.mark.parametrize("read", [texts.slurm_url, texts.head_url, texts.endpoint, texts.otlp_endpoint, texts.page_url])
def test_malformed_address_is_rejected(read: Callable[[str], str], text: str):
    with pytest.raises(ValueError, match=r"address"):
        read(text)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:6820", "ftp://head", "unix://relative", "http://user:secret@head", "unix://"]
)
def test_malformed_slurm_address_is_rejected(text: str):
    with pytest.raises(ValueError, match=r"address|password"):
        texts.slurm_url(text)
