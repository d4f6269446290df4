"""Samples by the real ComfyUI on the CPU: `make test-comfyui COMFYUI_ROOT=... COMFYUI_PYTHON=...`.

COMFYUI_ROOT is a checkout, COMFYUI_PYTHON a Python with its requirements (by default the one in its `venv`). Without
them, everything here is skipped.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.own_service import OwnService, free_port

HERE = Path(__file__).parent
ROOT = Path(os.environ.get("COMFYUI_ROOT") or "/nowhere").resolve()
PYTHON = os.environ.get("COMFYUI_PYTHON") or str(ROOT / "venv" / "bin" / "python")

if not (ROOT / "main.py").is_file() or shutil.which(PYTHON) is None:
    pytest.skip("no ComfyUI is named: make test-comfyui COMFYUI_ROOT=... COMFYUI_PYTHON=...", allow_module_level=True)

#: Seconds for one start or one task on the CPU.
PATIENCE = 300.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * PATIENCE)]

PROMPTS = [{"text": "a photo of the sks dog"}, {"text": "a red field"}]


class RealComfyUI(OwnService):
    """ComfyUI with tiny models, on a port of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.loras = base / "models" / "loras"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def _begin(self) -> None:
        for name in ("models/loras", "custom_nodes", "input", "output", "user", "web"):
            (self.base / name).mkdir(parents=True)
        (self.base / "web" / "index.html").write_text("<p>no frontend</p>")
        shutil.copy(HERE / "tiny_node.py", self.base / "custom_nodes" / "tiny_node.py")
        command = [PYTHON, str(HERE / "tiny_models.py"), str(ROOT), str(self.base)]
        subprocess.run(command, check=True, timeout=PATIENCE)
        self.start()

    def start(self) -> None:
        options = {
            "--listen": "127.0.0.1", "--port": str(self.port), "--base-directory": str(self.base),
            "--user-directory": str(self.base / "user"), "--temp-directory": str(self.base),
            "--front-end-root": str(self.base / "web"), "--database-url": "sqlite:///:memory:",
        }  # fmt: skip
        flags = ["--cpu", "--disable-api-nodes", "--disable-auto-launch"]
        words = [word for pair in options.items() for word in pair]
        with (self.base / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, "main.py", *flags, *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )
        until(self._answers, PATIENCE, "ComfyUI to answer")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/system_stats", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _end(self) -> None:
        self.kill()


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealComfyUI]:
    with RealComfyUI(tmp_path_factory.mktemp("comfy") / "base") as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, comfy: RealComfyUI) -> Iterator[TrainingServer]:
    settings = {"COMFYUI_URL": comfy.url, "COMFYUI_LORAS": str(comfy.loras)}
    with TrainingServer(tmp_path_factory.mktemp("samples") / "server", **settings) as started:
        yield started


def workflow() -> dict[str, Any]:
    """Return the graph of a Wan picture in API format."""
    return {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "tiny_wan.safetensors", "weight_dtype": "default"}},
        "2": {"class_type": "CLIPLoader", "inputs": {"clip_name": "tiny_umt5.safetensors", "type": "wan"}},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "tiny_wan_vae.safetensors"}},
        "4": {
            "class_type": "LoraLoaderModelOnly",
            "inputs": {"model": ["1", 0], "lora_name": "", "strength_model": 1.0},
        },
        "5": {"class_type": "ModelSamplingSD3", "inputs": {"model": ["4", 0], "shift": 8.0}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 0], "text": ""}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 0], "text": ""}},
        "8": {
            "class_type": "EmptyHunyuanLatentVideo",
            "inputs": {"width": 64, "height": 64, "length": 1, "batch_size": 1},
        },
        "9": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["5", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["8", 0], "seed": 1,
                "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0,
            },
        },
        "10": {"class_type": "VAEDecode", "inputs": {"samples": ["9", 0], "vae": ["3", 0]}},
        "11": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": "x"}},
    }  # fmt: skip


SET = {"prompts": PROMPTS, "seed": 1, "workflow": workflow(), "width": 64, "height": 64, "frames": 1, "steps": 2}


def trained(server: TrainingServer, comfy: RealComfyUI, lora: str) -> str:
    """Return a completed training whose saved model is this LoRA."""
    task_id = server.start_task(toy(3, every=None, step_seconds=0.01))
    server.await_status(task_id, "completed")
    [saved] = (server.root / "tasks" / task_id / "output").glob("*/epoch1/*.safetensors")
    shutil.copy(comfy.base / f"{lora}.safetensors", saved)
    return task_id


def render(server: TrainingServer, task_id: str, *, wait: bool = True) -> str:
    made = str(server.post(f"/training/{task_id}/samples", 202, json={"sample_set": SET})["task_id"])
    if wait:
        server.await_status(made, "completed", timeout=PATIENCE)
    return made


def samples_of(server: TrainingServer, task_id: str, made: str) -> dict[tuple[str | None, int], dict[str, Any]]:
    found = server.get(f"/training/{task_id}/samples")["samples"]
    return {(each["checkpoint"], each["prompt_index"]): each for each in found if each["sampling_id"] == made}


def pixels(server: TrainingServer, sample: dict[str, Any]) -> bytes:
    import io  # noqa: PLC0415

    from PIL import Image  # noqa: PLC0415

    with Image.open(io.BytesIO(server.client.get(sample["url"]).content)) as picture:
        return picture.convert("RGB").tobytes()


@pytest.fixture(scope="module")
def training(server: TrainingServer, comfy: RealComfyUI) -> str:
    return trained(server, comfy, "good")


def test_same_set_rendered_twice_gives_equal_pictures_graphs_and_seeds(server: TrainingServer, training: str):
    first, second = (samples_of(server, training, render(server, training)) for _ in range(2))
    assert set(first) == {("epoch1", 0), ("epoch1", 1), (None, 0), (None, 1)}
    # The base model's pictures are known the second time.
    assert set(second) == {("epoch1", 0), ("epoch1", 1)}
    for key, again in second.items():
        assert again["problem"] is None
        assert pixels(server, again) == pixels(server, first[key])
        assert (again["seed"], again["workflow_hash"]) == (first[key]["seed"], first[key]["workflow_hash"])
        assert pixels(server, first[key]) != pixels(server, first[None, key[1]])
    assert {each["comfyui_version"] for each in first.values()} != {None}


def test_samples_of_each_epoch_appear_while_it_trains(server: TrainingServer, comfy: RealComfyUI):
    body = {**SET, "name": "live"}
    del body["workflow"]
    flow = {"name": "tiny", "model_type": "toy", "workflow": workflow()}
    body["workflow"] = server.post("/workflows", 201, json=flow)["workflow_id"]
    server.post("/sample-sets", 201, json=body)
    task_id = server.start_task({**toy(40, 2, every=None, step_seconds=0.3), "samples": {"sample_set": "live"}})
    find = lambda: server.get(f"/training/{task_id}/samples")["samples"]  # noqa: E731
    until(lambda: any(each["checkpoint"] == "epoch1" for each in find()), PATIENCE, "samples of epoch 1")
    # The toy's tensors fit no model, which only the picture without the LoRA and the log tell.
    assert all("no" in each["problem"].lower() for each in find() if each["checkpoint"] == "epoch1")
    server.await_status(task_id, "completed", timeout=PATIENCE)


def test_lora_with_foreign_keys_is_an_error_and_not_a_picture(server: TrainingServer, comfy: RealComfyUI):
    task_id = trained(server, comfy, "foreign")
    found = samples_of(server, task_id, render(server, task_id))
    assert "16 keys had an effect" in found["epoch1", 0]["problem"]
    assert found["epoch1", 0]["url"] is None


def test_linked_model_is_listed_by_comfyui(server: TrainingServer, comfy: RealComfyUI, training: str):
    client = server.client
    made = client.put(f"/api/v1/training/{training}/comfyui/epoch1", json={}).json()["data"]
    info = httpx.get(f"{comfy.url}/object_info/LoraLoaderModelOnly", trust_env=False).json()
    assert made["file_name"] in info["LoraLoaderModelOnly"]["input"]["required"]["lora_name"][0]
    assert (comfy.loras / made["preview"]).is_file()
    client.delete(f"/api/v1/training/{training}/comfyui/epoch1")
    assert list(comfy.loras.iterdir()) == []


def test_killed_comfyui_is_waited_for_and_nothing_is_lost(server: TrainingServer, comfy: RealComfyUI, training: str):
    comfy.kill()
    made = render(server, training, wait=False)
    until(lambda: "does not answer" in server.log_of(made), PATIENCE, "a warning")
    comfy.start()
    server.await_status(made, "completed", timeout=PATIENCE)
    assert {each["problem"] for each in samples_of(server, training, made).values()} == {None}
