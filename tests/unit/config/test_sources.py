import contextlib
import re
from pathlib import Path

import pytest

from api.config import ConfigError
from tests.unit.config.given import read

ROOT = Path(__file__).parents[3]


def test_environment_overrides_dotenv(tmp_path: Path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("API_PORT=1111\nLOG_LEVEL=DEBUG\n")
    config = read({"API_PORT": "2222"}, dotenv=dotenv)
    assert (config.port, config.log_level) == (2222, "DEBUG")


def test_flag_overrides_the_environment():
    assert read({"API_PORT": "2222"}, "--port", "3333").port == 3333


def test_missing_dotenv_is_accepted(tmp_path: Path):
    assert read(dotenv=tmp_path / "absent").port == 8080


def test_dotenv_of_another_user_is_reported_with_the_right_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dotenv = tmp_path / ".env"
    dotenv.touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError, match="make that user its owner"):
        read(dotenv=dotenv)


def test_dotenv_that_is_not_text_is_rejected(tmp_path: Path):
    (tmp_path / ".env").write_bytes(b"API_PORT=\xff\n")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        read(dotenv=tmp_path / ".env")


def test_empty_value_is_the_default():
    assert read({"API_PORT": "", "API_HOST": ""}).port == 8080


@pytest.mark.parametrize(
    ("environ", "argv"),
    [
        ({"REDIS_URL": "http://:s3cret@host"}, []),
        ({"REDIS_URL": ":s3cret@host"}, []),
        ({}, ["--redis-url", "s3cret@host"]),
        ({}, ["--redis-ulr=redis://:s3cret@host"]),
        ({}, ["--password=s3cret"]),
        ({"API_PORT": "https://me:s3cret@host"}, []),
    ],
)
def test_error_shows_no_password(environ: dict[str, str], argv: list[str]):
    with pytest.raises(ConfigError) as refused:
        read(environ, *argv)
    assert "s3cret" not in str(refused.value)


def test_all_mistakes_in_settings_are_reported_together():
    with pytest.raises(ConfigError) as refused:
        read({"API_PORT": "x", "LOG_LEVEL": "LOUD", "GPU_SOURCE": "rocm"})
    assert all(name in str(refused.value) for name in ("API_PORT", "LOG_LEVEL", "GPU_SOURCE"))


def test_unknown_flag_is_rejected():
    with pytest.raises(ConfigError, match="--prot"):
        read({}, "--prot", "1")


def test_abbreviated_flag_is_rejected():
    with pytest.raises(ConfigError):
        read({}, "--por", "1")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("# ports\n\nAPI_PORT='9000\n", "line 3 is not NAME=value: correct an unmatched quote"),
        ('STORAGE_ROOT="/data\nAPI_PORT="9000"\n', "line 1 is not NAME=value"),
        ('STORAGE_ROOT="/data\nAPI_PORT=1\n"\n', "line 1: the value of STORAGE_ROOT spans several lines"),
        ("AUTH\n", "line 1: AUTH has no value; write AUTH=value"),
        ("API_PORT=1\n\nSTORAGE_ROT=/data\n", 'line 3: unknown setting "STORAGE_ROT"; did you mean "STORAGE_ROOT"?'),
        ("export auth_=required\n", 'line 1: unknown setting "auth_"; did you mean "AUTH"?'),
    ],
)
def test_dotenv_line_without_effect_is_rejected_with_its_number(tmp_path: Path, text: str, finding: str):
    (tmp_path / ".env").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(finding)):
        read(dotenv=tmp_path / ".env")


def test_all_mistakes_in_dotenv_are_reported_together(tmp_path: Path):
    (tmp_path / ".env").write_text("API_PROT=1\nLOG_LEVEL='x\n")
    with pytest.raises(ConfigError, match=r"line 1: .*; line 2 "):
        read(dotenv=tmp_path / ".env")


def test_dotenv_name_of_another_program_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / ".env").write_text("API_PORT=1111\nexport HF_TOKEN=abc\n")
    assert read(dotenv=tmp_path / ".env").port == 1111
    assert 'line 2: "HF_TOKEN" is not a setting and has no effect' in caplog.text
    assert "abc" not in caplog.text


def test_example_of_dotenv_has_only_settings(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    example = (ROOT / ".env.example").read_text()
    (tmp_path / ".env").write_text(re.sub(r"^# ?(?=[A-Z_]+=)", "", example, flags=re.MULTILINE))
    with contextlib.suppress(ConfigError):
        read(dotenv=tmp_path / ".env")
    assert caplog.text == ""
