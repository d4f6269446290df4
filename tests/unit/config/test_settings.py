from pathlib import Path

import pytest

from api.config import SETTINGS, ConfigError
from tests.unit.config.given import read


def test_settings_have_the_documented_defaults():
    config = read()
    assert (config.host, config.port, config.storage_root, config.gpu_source) == (
        "127.0.0.1",
        8080,
        Path("data"),
        "auto",
    )
    assert config.simulated_gpus == "4x NVIDIA GeForce RTX 4090"
    assert (config.gpu_monitor_interval, config.gpu_status_check_timeout) == (5, 10)
    assert (config.cors_origins, config.allowed_hosts, config.log_level) == ((), (), "INFO")
    assert (config.database_url, config.database_pool_size) == ("", 24)
    assert (config.diffusion_pipe_root, config.diffusion_pipe_python) == (None, None)
    assert (config.max_concurrent_tasks, config.min_free_disk_mb, config.log_max_bytes) == (0, 2048, 2**30)
    assert (config.stop_checkpoint_seconds, config.stop_terminate_seconds) == (300, 30)
    assert (config.hang_step_seconds, config.hang_quiet_seconds) == (300, 1800)


def test_every_setting_has_a_flag():
    for setting in SETTINGS.values():
        flag = "--" + setting.metadata["env"].lower().replace("_", "-")
        with pytest.raises(ConfigError, match=f"{flag}.*expected one argument"):
            read({}, flag)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "80x"),
        ("API_PORT", "65536"),
        ("API_PORT", "-1"),
        ("API_PORT", "8080.5"),
        ("GPU_SOURCE", "rocm"),
        ("SIMULATED_SEED", "-1"),
        ("GPU_MONITOR_INTERVAL", "0"),
        ("GPU_MONITOR_INTERVAL", "nan"),
        ("GPU_MONITOR_INTERVAL", "inf"),
        ("GPU_STATUS_CHECK_TIMEOUT", "soon"),
        ("METRICS_DCGM_ALIASES", "maybe"),
        ("MAX_BODY_BYTES", "1"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example, *"),
        ("CORS_ORIGINS", "a.example"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("CORS_ORIGINS", "null"),
        ("MAX_CONCURRENT_TASKS", "-1"),
        ("MIN_FREE_DISK_MB", "2G"),
        ("LOG_MAX_BYTES", "1000"),
        ("STOP_CHECKPOINT_SECONDS", "-1"),
        ("STOP_TERMINATE_SECONDS", "inf"),
        ("HANG_STEP_SECONDS", "0"),
        ("HANG_QUIET_SECONDS", "nan"),
    ],
)
def test_invalid_value_is_rejected_with_its_setting(name: str, value: str):
    with pytest.raises(ConfigError, match=f"^{name}="):
        read({name: value})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "::1", "[::1]", "127.8.9.10"])
def test_loopback_address_is_accepted(host: str):
    assert read({"API_HOST": host}).is_loopback


def test_help_lists_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        read({}, "--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert [s.name for s in SETTINGS.values() if s.metadata["env"] not in text] == []


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_switch_can_be_enabled(text: str):
    assert read({"METRICS_DCGM_ALIASES": text}).dcgm_aliases


@pytest.mark.parametrize("text", ["0", "false", "No", "off"])
def test_switch_can_be_disabled(text: str):
    assert not read({"METRICS_DCGM_ALIASES": text}).dcgm_aliases


def test_names_are_split_trimmed_and_lower_cased():
    assert read({"ALLOWED_HOSTS": " GPU.example , ,other "}).allowed_hosts == ("gpu.example", "other")


def test_trailing_slash_of_origins_is_removed():
    assert read({"CORS_ORIGINS": "https://A.example/"}).cors_origins == ("https://a.example",)


@pytest.mark.parametrize(("format_", "as_json"), [("json", True), ("text", False), ("TEXT", False)])
def test_log_format_can_be_chosen(format_: str, as_json: bool):
    assert read({"LOG_FORMAT": format_}).logs_json is as_json


def test_relative_cache_root_is_rejected():
    with pytest.raises(ConfigError, match="TRAINER_CACHE_ROOTS"):
        read({"TRAINER_CACHE_ROOTS": "/a:b"})


def test_rate_limits_are_read_by_group():
    assert read({"RATE_LIMITS": "starts=100/hour, logs=5/second"}).rate_limits == (
        ("starts", "100/hour"),
        ("logs", "5/second"),
    )


def test_rate_limits_can_be_disabled():
    assert read({"RATE_LIMITS": "off"}).rate_limits == ()


@pytest.mark.parametrize(
    "text", ["10/hour", "starts=0/hour", "starts=1/year", "starts=1/hour,starts=2/hour", "x=1/day"]
)
def test_invalid_rate_limits_are_rejected(text: str):
    with pytest.raises(ConfigError, match="RATE_LIMITS"):
        read({"RATE_LIMITS": text})


def test_proxies_are_addresses_and_networks():
    assert read({"TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,::1"}).trusted_proxies == ("127.0.0.1", "10.0.0.0/8", "::1")


@pytest.mark.parametrize("text", ["*", "nginx", "10.0.0.1/8"])
def test_invalid_proxies_are_rejected(text: str):
    with pytest.raises(ConfigError, match="TRUSTED_PROXIES"):
        read({"TRUSTED_PROXIES": text})


def test_trace_receiver_must_be_an_address_without_a_password():
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318/"}
    assert read(given).otel_endpoint == "http://127.0.0.1:4318"
    for wrong in ("127.0.0.1:4318", "http://user:pass@host:4318", "http://host:4318/?a=b"):
        with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT") as refused:
            read({"OTEL_EXPORTER_OTLP_ENDPOINT": wrong})
        assert "pass@" not in str(refused.value)
