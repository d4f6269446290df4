"""The client of ComfyUI, against a stand-in that plays its protocol."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.jobs.errors import StopRequested
from api.jobs.sampling import comfyui
from api.jobs.sampling.comfyui import ChosenWorkflow, ComfyUI
from api.jobs.sampling.graph import find_places
from api.jobs.sampling.sampler import SamplerProblem, SamplerUnavailable, Shot
from api.jobs.sampling.workflows import build, needed_types
from tests.comfyui_server import ComfyServer, comfy_server

SHOT = Shot("a.safetensors", 1.0, "a cat", None, 7)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ComfyServer]:
    with comfy_server(tmp_path / "loras") as started:
        yield started


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(b"key1 key2")
    return path


def client(server: ComfyServer, **changes: Any) -> ComfyUI:
    given: dict[str, Any] = {"model_type": "flux", "sleep": lambda seconds: None, **changes}
    directory = given.pop("directory", server.loras)
    names = [each.name for each in fields(ChosenWorkflow) if each.name in given]
    workflow = ChosenWorkflow(**{name: given.pop(name) for name in names})
    return ComfyUI(given.pop("url", server.url), directory, httpx.Client(trust_env=False), workflow, **given)


def ready(server: ComfyServer, lora: Path, **changes: Any) -> ComfyUI:
    made = client(server, **changes)
    made.prepare()
    made.add_lora(lora, SHOT.lora)
    return made


def test_server_is_another_one_with_another_address_or_version(server: ComfyServer, lora: Path, tmp_path: Path):
    with comfy_server(tmp_path / "others") as other:
        found = [ready(each, lora).server for each in (server, server, other)]
    server.version = "0.3.65"
    found.append(ready(server, lora).server)
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_equal_shots_give_equal_pictures(server: ComfyServer, lora: Path):
    made = ready(server, lora)
    first, second = made.render(SHOT), made.render(SHOT)
    assert (first.content, first.ending, first.keys_missing) == (second.content, ".png", 0)


def test_graphs_differ_only_in_the_prefix(server: ComfyServer, lora: Path):
    made = ready(server, lora)
    made.render(SHOT)
    made.render(SHOT)
    prefixes = [graph["save"]["inputs"].pop("filename_prefix") for graph in server.graphs]
    assert server.graphs[0] == server.graphs[1]
    assert prefixes[0] != prefixes[1]


def test_values_are_set_in_the_graph(server: ComfyServer, lora: Path):
    shot = Shot(SHOT.lora, 0.8, "a cat", None, 7, width=640, height=480, steps=4)
    ready(server, lora).render(shot)
    graph = server.graphs[0]
    assert graph["prompt"]["inputs"]["text"] == "a cat"
    assert (graph["latent"]["inputs"]["width"], graph["latent"]["inputs"]["height"]) == (640, 480)
    assert (graph["sampler"]["inputs"]["seed"], graph["sampler"]["inputs"]["steps"]) == (7, 4)
    assert graph["lora"]["inputs"]["strength_model"] == 0.8


def test_trained_model_is_preferred_to_others_of_its_type(server: ComfyServer, lora: Path):
    ready(server, lora, base="other.safetensors").render(SHOT)
    assert server.graphs[0]["model"]["inputs"]["unet_name"] == "other.safetensors"


def test_keys_that_the_server_does_not_load_are_counted(server: ComfyServer, lora: Path):
    lora.write_bytes(b"key1 foreign1 foreign2")
    assert ready(server, lora).render(SHOT).keys_missing == 2


def test_prompt_lost_by_a_restart_is_sent_again(server: ComfyServer, lora: Path):
    made = ready(server, lora)
    server.script = ["lose"]
    assert made.render(SHOT).ending == ".png"
    assert len(server.graphs) == 2


def test_server_that_always_forgets_is_unavailable(server: ComfyServer, lora: Path):
    made = ready(server, lora)
    server.script = ["lose"] * 3
    with pytest.raises(SamplerUnavailable, match="lost the prompt"):
        made.render(SHOT)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("oom", "ran out of GPU memory"),
        ("stop", "interrupted"),
        ("empty", "saved no picture"),
        ("exe", "type .exe"),
        ("huge", "too long"),
    ],
)
def test_failed_prompt_names_its_cause(
    server: ComfyServer, lora: Path, monkeypatch: pytest.MonkeyPatch, what: str, message: str
):
    monkeypatch.setattr(comfyui, "_MOST_PICTURE", 1024 * 1024)
    made = ready(server, lora)
    server.script = [what]
    with pytest.raises(SamplerProblem, match=message):
        made.render(SHOT)


SURROGATE = r"\ud800"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/system_stats", '{"system": 5}'),
        ("/system_stats", f'{{"system": {{"comfyui_version": "{SURROGATE}"}}}}'),
        ("/object_info/UNETLoader", '{"UNETLoader": 5}'),
        ("/object_info/UNETLoader", '{"UNETLoader": {"input": 7}}'),
        ("/object_info/UNETLoader", '{"UNETLoader": {"input": {"required": ["a"]}}}'),
        ("/object_info/LoraLoaderModelOnly", "[]"),
        ("/prompt", "[" * 5000),
        ("/prompt", '{"prompt_id": "a\\nb"}'),
        ("/prompt", f'{{"prompt_id": "{"a" * 70_000}"}}'),
        ("/prompt", '{"prompt_id": "../../view?filename=x"}'),
        ("/prompt", f'{{"prompt_id": "{SURROGATE}"}}'),
        ("/prompt", '{"node_errors": {"1": {"errors": 5}}}'),
        ("/history", '{"ID": 5}'),
        ("/history", '{"ID": {"outputs": 5}}'),
        ("/history", '{"ID": {"outputs": {"save": 5}}}'),
        ("/history", '{"ID": {"outputs": {"save": {"images": 5}}}}'),
        ("/history", '{"ID": {"outputs": {"save": {"images": [5]}}}}'),
        ("/history", f'{{"ID": {{"outputs": {{"save": {{"images": [{{"filename": "{"a" * 90_000}.png"}}]}}}}}}}}'),
        ("/history", f'{{"ID": {{"outputs": {{"save": {{"images": [{{"filename": "{SURROGATE}.png"}}]}}}}}}}}'),
        ("/history", '{"ID": {"status": {"status_str": "error", "messages": 5}}}'),
    ],
)
def test_answer_of_another_form_is_a_problem_that_names_its_address(
    server: ComfyServer, lora: Path, path: str, body: str
):
    server.lies[path] = body
    with pytest.raises(SamplerProblem, match=f"{server.url} .* answer to {path}.*COMFYUI_URL") as raised:
        ready(server, lora).render(SHOT)
    assert not isinstance(raised.value, SamplerUnavailable)
    assert len(str(raised.value)) < 500
    assert not any("filename=x" in each for each in server.asked)


def test_queue_and_log_of_another_form_end_no_traceback(server: ComfyServer, lora: Path):
    made = ready(server, lora)
    server.lies = {"/internal/logs/raw": '{"entries": 5}'}
    assert made.render(SHOT).keys_missing == 0
    server.lies = {"/queue": "[5]", "/history": "{}"}
    with pytest.raises(SamplerProblem, match="/queue"):
        made.render(SHOT)


def test_quoted_texts_of_the_server_are_one_printable_line(server: ComfyServer, lora: Path):
    made = ready(server, lora)
    facts = r'{"exception_type": "E", "exception_message": "a\u0000\u001b[31m\nb\u2028c"}'
    server.lies["/history"] = (
        f'{{"ID": {{"status": {{"status_str": "error", "messages": [["execution_error", {facts}]]}}}}}}'
    )
    with pytest.raises(SamplerProblem, match=r"E: a \[31m b c$"):
        made.render(SHOT)


def test_address_that_no_request_can_have_is_a_problem(server: ComfyServer):
    with pytest.raises(SamplerProblem, match="correct COMFYUI_URL"):
        client(server, url="http://a\nb").prepare()


def test_workflow_that_names_another_input_is_refused_before_rendering(server: ComfyServer):
    graph: Any = server_graph(server)
    places = replace(find_places(graph), prompt=(("model", "unet_name"),))
    with pytest.raises(SamplerProblem, match="no prompt"):
        client(server, graph=graph, places=places).prepare()


def test_stop_request_interrupts_only_the_own_prompt(server: ComfyServer, lora: Path):
    made = ready(server, lora, is_stopping=lambda: True)
    server.script = ["hang"]
    server.running.append([0, "somebody-else", {}, {}, []])
    with pytest.raises(StopRequested):
        made.render(SHOT)
    assert len(server.interrupted) == 1
    assert server.interrupted != ["somebody-else"]


def test_hung_prompt_ends_after_the_limit(server: ComfyServer, lora: Path):
    made = ready(server, lora, most_seconds=0.0)
    server.script = ["hang"]
    with pytest.raises(SamplerProblem, match="longer than 0 s"):
        made.render(SHOT)


def test_server_that_is_away_is_unavailable(server: ComfyServer):
    with pytest.raises(SamplerUnavailable, match="COMFYUI_URL"):
        client(server, url="http://127.0.0.1:9").prepare()


def test_server_without_a_needed_node_is_reported_before_rendering(server: ComfyServer):
    del server.nodes["FluxGuidance"]
    with pytest.raises(SamplerProblem, match="no node FluxGuidance: update it"):
        client(server).prepare()


def test_missing_model_file_is_reported_before_rendering(server: ComfyServer):
    server.nodes["VAELoader"]["vae_name"] = []
    with pytest.raises(SamplerProblem, match="no file for VAELoader"):
        client(server).prepare()


def test_directory_of_another_comfyui_is_noticed(server: ComfyServer, lora: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made = client(server, directory=elsewhere)
    made.prepare()
    with pytest.raises(SamplerProblem, match="does not list"):
        made.add_lora(lora, SHOT.lora)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("which", ["file", "directory"])
def test_link_in_the_place_of_a_saved_model_is_not_followed(server: ComfyServer, tmp_path: Path, which: str):
    secret = tmp_path / "secret" / "model.safetensors"
    secret.parent.mkdir()
    secret.write_text("secret")
    path = tmp_path / "tasks" / "t" / "output" / "run" / "epoch1" / secret.name
    path.parent.parent.mkdir(parents=True)
    if which == "file":
        path.parent.mkdir()
        path.symlink_to(secret)
    else:
        path.parent.symlink_to(secret.parent)
    made = client(server)
    made.prepare()
    before = list(server.loras.iterdir())
    with pytest.raises(SamplerProblem, match="cannot be placed"):
        made.add_lora(path, "x.safetensors")
    assert list(server.loras.iterdir()) == before


def test_missing_directory_is_reported_before_rendering(server: ComfyServer):
    with pytest.raises(SamplerProblem, match="set COMFYUI_LORAS"):
        client(server, directory=None).prepare()


def test_unfinished_copy_is_removed(server: ComfyServer, lora: Path):
    (server.loras / f".{SHOT.lora}.part").write_bytes(b"half")
    client(server).remove_lora(SHOT.lora)
    assert list(server.loras.iterdir()) == []


def test_lora_file_is_removed_again(server: ComfyServer, lora: Path):
    made = ready(server, lora)
    made.remove_lora(SHOT.lora)
    assert list(server.loras.iterdir()) == []
    assert lora.exists()


def test_node_of_an_extension_is_refused_unless_it_is_allowed(server: ComfyServer):
    made = client(server)
    made.prepare()
    graph: Any = {**server_graph(server), "x": {"class_type": "FetchURL", "inputs": {"url": "http://10.0.0.1/"}}}
    with pytest.raises(SamplerProblem, match="extension fetcher"):
        client(server, graph=graph).prepare()
    client(server, graph=graph, extensions=["fetcher"]).prepare()


def test_second_node_that_saves_is_refused(server: ComfyServer):
    graph: Any = {
        **server_graph(server),
        "x": {"class_type": "PreviewImage", "inputs": {"images": ["decode", 0]}},
    }
    with pytest.raises(SamplerProblem, match="PreviewImage"):
        client(server, graph=graph).prepare()


def server_graph(server: ComfyServer) -> dict[str, Any]:
    known = {}
    for name in needed_types("flux"):
        known |= server.describe(name)
    return build("flux", known)
