"""The GPU memory of a training, as the driver reports it, is used in its next plan."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import BASE, until
from tests.nvml.conftest import Serve
from tests.standin import StandIn
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import make_config, make_dataset, make_images

#: A fake of the trainer's Python: it identifies itself, and makes its last step on request.
TRAINER = """#!{python}
import os, sys, time, tomllib
from pathlib import Path
here = Path({here!r})
(here / "pid").write_text(str(os.getpid()))
for step in range(1, 41):
    while step > 20 and not (here / "done").exists():
        time.sleep(0.1)
    print(f"steps: {{step}} loss: 0.5 iter time (s): 0.1 samples/sec: 5.0", flush=True)
    time.sleep(0.1)
config = tomllib.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
run = Path(config["output_dir"]) / "20260101_00-00-00"
(run / "global_step40").mkdir(parents=True)
(run / "global_step40" / "mp_rank_00_model_states.pt").write_text("x")
(run / "latest").write_text("global_step40")
print("TRAINING COMPLETE!", flush=True)
"""
WAIT = 30.0
MIB = 2**20


@pytest.fixture
def gpus(machine: StandIn) -> Iterator[StandIn]:
    machine.add_gpus(1)
    yield machine
    machine.restore()


def test_measured_memory_of_a_training_is_used_in_the_next_plan(gpus: StandIn, serve: Serve, tmp_path: Path) -> None:
    root, program = tmp_path / "trainer", tmp_path / "python"
    root.mkdir()
    (root / "train.py").write_text("")
    program.write_text(TRAINER.format(python=sys.executable, here=str(tmp_path)))
    program.chmod(0o755)
    weights = write_stand_in(tmp_path / "xl.safetensors", STAND_INS["sdxl"])
    config = make_config({"type": "sdxl", "dtype": "bfloat16", "checkpoint_path": str(weights)})
    body: dict[str, Any] = {
        "model_type": "sdxl",
        "config": config,
        "dataset": make_dataset(make_images(tmp_path / "images")),
    }
    server = serve(DIFFUSION_PIPE_ROOT=str(root), DIFFUSION_PIPE_PYTHON=str(program), GPU_MONITOR_INTERVAL="0.5")

    def planned() -> dict[str, Any]:
        found = server.client.post(f"{BASE}/training/validate", json=body).json()["data"]
        assert found["errors"] == []
        return dict(found["plan"])

    assert planned()["memory"]["origin"] == "estimated"
    task = server.client.post(f"{BASE}/training/start", json=body).json()["data"]["task_id"]
    until((tmp_path / "pid").exists, WAIT)
    with gpus.together():
        gpus.set(0, "memory_used", 21_914 * MIB)
        gpus.set_processes(0, [(int((tmp_path / "pid").read_text()), 21_500 * MIB)])
    until(lambda: server.get("/gpu/0/details")["memory"]["used"] >= 21_914, WAIT)
    until(lambda: (server.get(f"/training/{task}")["progress"]["current_step"] or 0) > 10, WAIT)
    (tmp_path / "done").touch()
    ended = until(lambda: (found := server.get(f"/training/{task}"))["finished_at"] and found, WAIT)
    assert ended["status"] == "completed", ended
    memory = planned()["memory"]
    assert (memory["origin"], memory["runs"], memory["most_mb"]) == ("measured", 1, 21_914)
