from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.trainers.environment import VARIABLES, Variable, VariableKind, check_env, split_secrets

GOOD = {
    VariableKind.FLAG: "1",
    VariableKind.NUMBER: "30",
    VariableKind.WORD: "expandable_segments:True,a-b",
    VariableKind.TEXT: "a run of mine: 50 %",
    VariableKind.SECRET: "hf_abc",
}
BAD = {
    VariableKind.FLAG: "maybe",
    VariableKind.NUMBER: "1e9999",
    VariableKind.WORD: "a/../b",
    VariableKind.TEXT: "a\nb",
    VariableKind.SECRET: "a b",
    VariableKind.PATH: "hf",
}
PATHS = sorted(name for name, variable in VARIABLES.items() if variable.kind is VariableKind.PATH)


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=VARIABLES)
def test_variable_of_the_trainers_libraries_is_permitted(variable: Variable, tmp_path: Path):
    value = GOOD.get(variable.kind, str(tmp_path / "hf"))
    assert check_env({variable.name: value}, [tmp_path]) == []


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=VARIABLES)
def test_value_of_another_kind_is_rejected(variable: Variable, tmp_path: Path):
    (mistake,) = check_env({variable.name: BAD[variable.kind]}, [tmp_path])
    assert (mistake.pointer, bool(mistake.remedy)) == (f"/env/{variable.name}", True)


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PATH",
        "HOME",
        "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "BASH_ENV",
        "GIT_SSH_COMMAND",
        "nccl_debug",
        "NCCL_",
        "NCCL DEBUG",
        "NCCL_DEBUG=1\nLD_PRELOAD",
        "NCCL_NET_PLUGIN",
        "NCCL_CONF_FILE",
        "TRITON_PTXAS_PATH",
        "TORCH_EXTENSIONS_DIR",
        "WANDB__EXECUTABLE",
        "HF_TRUST_REMOTE_CODE",
        "TRITON_CACHE_MANAGER",
        "TRITON_REMOTE_CACHE_BACKEND",
        "TRITON_OVERRIDE_DIR",
        "NCCL_DEBUG_FILE",
        "NCCL_TOPO_DUMP_FILE",
        "NCCL_TUNER_CONFIG_PATH",
        "NCCL_NET",
        "TORCH_TRACE",
        "TORCH_LOGS",
        "TORCH_LOGS_OUT",
        "TORCH_NCCL_DEBUG_INFO_TEMP_FILE",
        "HF_TOKEN_PATH",
        "HF_MODULES_CACHE",
        "WANDB_DIR",
        "WANDB_CONFIG_DIR",
        "PYTHONBREAKPOINT",
        "DEEPSPEED_ENV_FILE",
        "",
        "A" * 1000,
        "\ud800",
    ],
)
def test_other_variable_is_rejected(name: str):
    (mistake,) = check_env({name: "1"})
    assert mistake.pointer.startswith("/env/")
    assert mistake.remedy
    mistake.message.encode()


@pytest.mark.parametrize(
    "name",
    ["HF_ENDPOINT", "WANDB_BASE_URL", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "NCCL_COMM_ID",
     "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"],
)  # fmt: skip
def test_endpoint_variable_is_rejected(name: str):
    (mistake,) = check_env({name: "http://collector.example"})
    assert "Only the operator" in mistake.remedy


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", ["/etc", "{root}/../elsewhere", "{root}-beside", "{root}/link/deep", "relative"])
def test_directory_outside_of_the_roots_is_rejected(name: str, path: str, tmp_path: Path):
    root = tmp_path / "caches"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    assert check_env({name: path.format(root=root)}, [root])


def test_without_roots_every_directory_is_rejected(tmp_path: Path):
    assert check_env({"HF_HOME": str(tmp_path)})


def test_only_the_first_rejected_name_lists_the_allowed_ones():
    first, second = check_env({"NCCL_DEBUGG": "INFO", "LD_PRELOAD": "x"})
    assert first.remedy.startswith("Did you mean NCCL_DEBUG?")
    assert all(name in first.remedy for name in VARIABLES)
    assert len(second.remedy) < 100


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\rb", "x" * 5000, "\x1b[31m"])
def test_value_with_a_control_character_or_too_long_is_rejected(value: str):
    (mistake,) = check_env({"HF_TOKEN": value})
    assert mistake.pointer == "/env/HF_TOKEN"
    assert value not in mistake.message


def test_number_in_non_ascii_digits_is_rejected():
    (mistake,) = check_env({"OMP_NUM_THREADS": "\N{ARABIC-INDIC DIGIT THREE}"})
    assert mistake.pointer == "/env/OMP_NUM_THREADS"


def test_number_of_variables_is_limited():
    (mistake,) = check_env({f"HF_{index}": "1" for index in range(1000)})
    assert mistake.pointer == "/env"


def test_secrets_are_recognised_by_name():
    env = {"HF_TOKEN": "a", "WANDB_API_KEY": "b", "HF_HOME": "c", "WANDB_PASSWORD": "d", "HF_SECRET": "e"}
    public, secret = split_secrets(env)
    assert public == {"HF_HOME": "c"}
    assert secret == {"HF_TOKEN": "a", "WANDB_API_KEY": "b", "WANDB_PASSWORD": "d", "HF_SECRET": "e"}


def test_known_variable_with_a_name_like_a_secret_is_public():
    assert split_secrets({"TOKENIZERS_PARALLELISM": "false"}) == ({"TOKENIZERS_PARALLELISM": "false"}, {})


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_any_environment_can_be_checked(env: dict[str, str]):
    public, secret = split_secrets(env)
    assert {**public, **secret} == env
    for mistake in check_env(env):
        mistake.pointer.encode()
