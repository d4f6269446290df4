import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.trainers.environment import check_env, split_secrets


@pytest.mark.parametrize(
    "name",
    [
        "NCCL_P2P_DISABLE",
        "TORCH_NCCL_BLOCKING_WAIT",
        "PYTORCH_CUDA_ALLOC_CONF",
        "HF_HOME",
        "HF_TOKEN",
        "HUGGINGFACE_HUB_CACHE",
        "DEEPSPEED_TIMEOUT",
        "TRITON_CACHE_DIR",
        "OMP_NUM_THREADS",
        "WANDB_API_KEY",
        "CUDA_LAUNCH_BLOCKING",
        "CUDA_MODULE_LOADING",
        "TOKENIZERS_PARALLELISM",
        "TRANSFORMERS_OFFLINE",
        "LOG_LEVEL",
    ],
)
def test_variable_of_the_trainers_libraries_may_be_set(name: str):
    assert check_env({name: "1"}) == []


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
        "",
        "A" * 1000,
        "\ud800",
    ],
)
def test_other_variable_may_not(name: str):
    (mistake,) = check_env({name: "1"})
    assert mistake.pointer.startswith("/env/")
    assert mistake.remedy
    mistake.message.encode()


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\rb", "x" * 5000, "\x1b[31m"])
def test_value_with_a_control_character_or_without_bounds_may_not(value: str):
    (mistake,) = check_env({"HF_TOKEN": value})
    assert mistake.pointer == "/env/HF_TOKEN"
    assert value not in mistake.message


def test_number_of_variables_is_bounded():
    (mistake,) = check_env({f"HF_{index}": "1" for index in range(1000)})
    assert mistake.pointer == "/env"


def test_secrets_are_told_by_their_names():
    env = {"HF_TOKEN": "a", "WANDB_API_KEY": "b", "HF_HOME": "c", "WANDB_PASSWORD": "d", "HF_SECRET": "e"}
    public, secret = split_secrets(env)
    assert public == {"HF_HOME": "c"}
    assert secret == {"HF_TOKEN": "a", "WANDB_API_KEY": "b", "WANDB_PASSWORD": "d", "HF_SECRET": "e"}


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_any_environment_gets_an_answer(env: dict[str, str]):
    public, secret = split_secrets(env)
    assert {**public, **secret} == env
    for mistake in check_env(env):
        mistake.pointer.encode()
