"""A node that cannot start reports why and exits."""

import socket

import pytest

from api.commands.node import run_node
from api.config import Config


def config(port: int, **settings: str) -> Config:
    return Config(role="node", head_url="http://127.0.0.1:1", gpu_source="simulated", port=port, **settings)  # type: ignore[arg-type]


def test_port_in_use_is_reported(capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run_node(config(taken.getsockname()[1])) == 1
    assert "cannot listen on" in capsys.readouterr().err


def test_invalid_name_is_reported(capsys: pytest.CaptureFixture[str]):
    assert run_node(config(0, node_name="a b")) == 2
    assert "NODE_NAME" in capsys.readouterr().err
