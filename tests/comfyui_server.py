"""A stand-in for ComfyUI that plays its HTTP protocol: nodes, prompts, histories, files, queue and log.

It draws a square whose colour depends on the LoRA, its strength, the prompt and the seed. Like the real one, it
caches LoRA files by path, answers a repeated graph from its cache, and only logs keys that it cannot load. What it does
was recorded from ComfyUI 0.3.64.
"""

import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

#: Inputs of the nodes that it has: a list is a choice, a text is a type.
_NODES: dict[str, dict[str, Any]] = {
    "CheckpointLoaderSimple": {"ckpt_name": ["sd_xl_base_1.0.safetensors", "sd3.5_medium.safetensors"]},
    "UNETLoader": {
        "unet_name": ["flux1-dev.safetensors", "wan2.1_t2v_1.3B.safetensors", "other.safetensors"],
        "weight_dtype": ["default"],
    },
    "CLIPLoader": {"clip_name": ["umt5_xxl_fp8.safetensors", "t5xxl_fp16.safetensors"], "type": ["wan", "chroma"]},
    "DualCLIPLoader": {
        "clip_name1": ["t5xxl_fp16.safetensors", "clip_l.safetensors"],
        "clip_name2": ["t5xxl_fp16.safetensors", "clip_l.safetensors"],
        "type": ["flux"],
    },
    "VAELoader": {"vae_name": ["ae.safetensors", "wan_2.1_vae.safetensors"]},
    "LoraLoader": {
        "model": "MODEL",
        "clip": "CLIP",
        "lora_name": [],
        "strength_model": "FLOAT",
        "strength_clip": "FLOAT",
    },
    "LoraLoaderModelOnly": {"model": "MODEL", "lora_name": [], "strength_model": "FLOAT"},
    "ModelSamplingSD3": {"model": "MODEL", "shift": "FLOAT"},
    "CLIPTextEncode": {"text": "STRING", "clip": "CLIP"},
    "FluxGuidance": {"conditioning": "CONDITIONING", "guidance": "FLOAT"},
    "ConditioningZeroOut": {"conditioning": "CONDITIONING"},
    "EmptyLatentImage": {"width": "INT", "height": "INT", "batch_size": "INT"},
    "EmptySD3LatentImage": {"width": "INT", "height": "INT", "batch_size": "INT"},
    "EmptyHunyuanLatentVideo": {"width": "INT", "height": "INT", "length": "INT", "batch_size": "INT"},
    "KSampler": {
        **dict.fromkeys(("model", "positive", "negative", "latent_image"), "LINK"),
        **dict.fromkeys(("seed", "steps", "cfg", "denoise"), "INT"),
        "sampler_name": ["euler", "uni_pc", "dpmpp_2m"],
        "scheduler": ["simple", "karras", "normal", "sgm_uniform"],
    },
    "VAEDecode": {"samples": "LATENT", "vae": "VAE"},
    "SaveImage": {"images": "IMAGE", "filename_prefix": "STRING"},
    "SaveAnimatedWEBP": {
        "images": "IMAGE",
        "filename_prefix": "STRING",
        **dict.fromkeys(("fps", "lossless", "quality"), "INT"),
        "method": ["default"],
    },
    "PreviewImage": {"images": "IMAGE"},
    "FetchURL": {"url": "STRING"},
}
#: A workflow whose nodes the stand-in has.
WORKFLOW: dict[str, dict[str, Any]] = {
    "model": {"class_type": "UNETLoader", "inputs": {"unet_name": "other.safetensors", "weight_dtype": "default"}},
    "clip": {"class_type": "CLIPLoader", "inputs": {"clip_name": "t5xxl_fp16.safetensors", "type": "chroma"}},
    "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
    "lora": {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["model", 0], "lora_name": "", "strength_model": 1},
    },
    "text": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": ""}},
    "not": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": "ugly"}},
    "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "sampler": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["lora", 0], "positive": ["text", 0], "negative": ["not", 0], "latent_image": ["latent", 0],
            "seed": 0, "steps": 4, "cfg": 1, "denoise": 1, "sampler_name": "euler", "scheduler": "simple",
        },
    },
    "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "vae": ["vae", 0]}},
    "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": ""}},
}  # fmt: skip

_OUTPUTS = ("SaveImage", "SaveAnimatedWEBP", "PreviewImage")


class ComfyServer:
    """The state of the server, which tests read and change."""

    def __init__(self, loras: Path) -> None:
        self.loras = loras
        self.url = ""
        self.version = "0.3.64"
        self.nodes = {name: dict(inputs) for name, inputs in _NODES.items()}
        self.script: list[
            str
        ] = []  #: what happens to the next prompts: oom, lose, hang, garbage, huge, exe, empty, stop
        self.lies: dict[str, str] = {}  #: bodies instead of the answers to these paths; `ID` becomes the prompt's id
        self.asked: list[str] = []
        self.graphs: list[dict[str, Any]] = []
        self.interrupted: list[Any] = []
        self.prompt_seconds = 0.0
        self.board = "NVIDIA Test"
        self.vram_mb = (24_576, 0)  #: total memory of its GPU, and how much it uses
        self.rest_mb = 400  #: what it still uses after it has freed memory
        self.frees = 0
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self.history: dict[str, Any] = {}
        self.running: list[list[Any]] = []
        self.log: list[dict[str, str]] = []
        self.files: dict[str, bytes] = {}
        self._cached: dict[Path, bytes] = {}

    def restart(self) -> None:
        """Forget everything, as a restart does."""
        with self._lock:
            self._reset()

    def describe(self, name: str) -> dict[str, Any]:
        inputs = dict(self.nodes.get(name) or {})
        if not inputs:
            return {}
        if "lora_name" in inputs:
            inputs["lora_name"] = sorted(path.name for path in self.loras.glob("*.safetensors"))
        module = "custom_nodes.fetcher" if name == "FetchURL" else "nodes"
        described = {each: [kind] for each, kind in inputs.items()}
        return {name: {"input": {"required": described}, "output_node": name in _OUTPUTS, "python_module": module}}

    def submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        graph, prompt_id = body["prompt"], body["prompt_id"]
        unknown = [each["class_type"] for each in graph.values() if each["class_type"] not in self.nodes]
        if unknown:
            return 400, {"error": {"type": "invalid_prompt", "message": f"no {unknown[0]}"}, "node_errors": []}
        with self._lock:
            self.graphs.append(graph)
            what = self.script.pop(0) if self.script else "render"
            extra = {"client_id": body.get("client_id")}
            self.running.append([len(self.graphs), prompt_id, graph, extra, []])
        if what != "hang":
            threading.Thread(target=self._run, args=(prompt_id, graph, what), daemon=True).start()
        return 200, {"prompt_id": prompt_id, "number": len(self.graphs), "node_errors": {}}

    def _run(self, prompt_id: str, graph: dict[str, Any], what: str) -> None:
        time.sleep(self.prompt_seconds)
        with self._lock:
            if what in ("oom", "stop"):
                self.history[prompt_id] = {"outputs": {}, "status": _failed(what)}
            elif what != "lose":
                self.history[prompt_id] = self._finish(graph, what)
            self.running = [each for each in self.running if each[1] != prompt_id]

    def _finish(self, graph: dict[str, Any], what: str) -> dict[str, Any]:
        save = next(each for each in graph if graph[each]["class_type"] in _OUTPUTS)
        prefix = graph[save]["inputs"]["filename_prefix"]
        name = f"{prefix.rsplit('/', 1)[-1]}_00001_{'.exe' if what == 'exe' else '.png'}"
        self.files[name] = {"garbage": b"<html>", "huge": b"x" * (2 * 2**20)}.get(what) or self._draw(graph)
        images = [] if what == "empty" else [{"filename": name, "subfolder": "dpipe", "type": "output"}]
        done = {"status_str": "success", "completed": True, "messages": []}
        return {"outputs": {save: {"images": images}}, "status": done}

    def _draw(self, graph: dict[str, Any]) -> bytes:
        effect: Any = None
        for node in graph.values():
            if node["class_type"].startswith("LoraLoader") and node["inputs"]["strength_model"]:
                path = self.loras / node["inputs"]["lora_name"]
                content = self._cached.setdefault(path, path.read_bytes())
                for key in content.decode(errors="replace").split():
                    if key.startswith("foreign"):
                        self.log.append({"t": f"{len(self.log)}", "m": f"lora key not loaded: {key}\n"})
                own = [key for key in content.split() if not key.startswith(b"foreign")]
                effect = (own, node["inputs"]["strength_model"]) if own else None
        texts = [node["inputs"].get("text") for node in graph.values()]
        seeds = [node["inputs"].get("seed") for node in graph.values()]
        colour = hashlib.sha256(repr((effect, texts, seeds)).encode()).digest()[:3]
        picture = io.BytesIO()
        Image.new("RGB", (8, 8), tuple(colour)).save(picture, "PNG")
        return picture.getvalue()


def _failed(what: str) -> dict[str, Any]:
    facts = {"node_id": "9", "node_type": "KSampler", "exception_type": "torch.OutOfMemoryError"}
    last = (
        ["execution_interrupted", {"node_id": "9"}]
        if what == "stop"
        else ["execution_error", {**facts, "exception_message": "CUDA out of memory."}]
    )
    return {"status_str": "error", "completed": False, "messages": [["execution_start", {}], last]}


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        comfy, where = self.server.comfy, urlsplit(self.path)
        parts = where.path.strip("/").split("/")
        comfy.asked.append(self.path)
        match parts:
            case ["system_stats"]:
                total, used = (mb * 2**20 for mb in comfy.vram_mb)
                board = {"name": f"cuda:0 {comfy.board} : native", "type": "cuda", "index": 0}
                devices = [{**board, "vram_total": total, "vram_free": total - used}]
                self._json({"system": {"comfyui_version": comfy.version}, "devices": devices})
            case ["object_info", name]:
                self._json(comfy.describe(name))
            case ["history", prompt_id]:
                self._json({prompt_id: comfy.history[prompt_id]} if prompt_id in comfy.history else {})
            case ["queue"]:
                self._json({"queue_running": comfy.running, "queue_pending": []})
            case ["internal", "logs", "raw"]:
                self._json({"entries": comfy.log[-300:]})
            case ["view"]:
                content = comfy.files.get(parse_qs(where.query)["filename"][0])
                self._send(404 if content is None else 200, content or b"")
            case _:
                self._send(404, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path == "/prompt":
            status, answer = self.server.comfy.submit(body)
            self._json(answer, status)
        elif self.path == "/interrupt":
            self.server.comfy.interrupted.append(body.get("prompt_id"))
            self._send(200, b"")
        elif self.path == "/free":
            comfy = self.server.comfy
            comfy.frees += bool(body.get("unload_models") and body.get("free_memory"))
            comfy.vram_mb = comfy.vram_mb[0], min(comfy.vram_mb[1], comfy.rest_mb)
            self._send(200, b"")
        else:
            self._send(200, b"")

    def _json(self, value: Any, status: int = 200) -> None:
        comfy = self.server.comfy
        lie = next((comfy.lies[path] for path in comfy.lies if self.path.startswith(path)), None)
        text = json.dumps(value) if lie is None else lie.replace("ID", self.path.rsplit("/", 1)[-1])
        self._send(status, text.encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, comfy: ComfyServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.comfy = comfy


@contextmanager
def comfy_server(loras: Path, port: int = 0) -> Iterator[ComfyServer]:
    """Start the server with this directory of LoRA files, by default on a free port, and stop it at the end."""
    loras.mkdir(parents=True, exist_ok=True)
    comfy = ComfyServer(loras)
    with _Server(comfy, port) as server:
        comfy.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield comfy
        finally:
            server.shutdown()
            thread.join()
