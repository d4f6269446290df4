"""Several machines in a browser: groups, missing reports, draining."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.conftest import Open, unfold
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.unit.builders import identity, reading
from tests.unit.nodes.builders import PLACE, at, report


def send_report(server: TrainingServer, number: int, gpus: int = 2, **changes: object) -> None:
    """Send the report of a machine with this number of free GPUs."""
    found = [
        reading(index, identity=identity(index, uuid=f"GPU-{number}-{index}"), processes=()) for index in range(gpus)
    ]
    sent = report(*found, place=at(PLACE, host=f"box{number}"), **changes)
    server.post(f"/nodes/gpu{number}/report", 200, json={"report": sent})


@pytest.fixture(scope="module", autouse=True)
def fleet(server: TrainingServer) -> None:
    for number in (2, 3):
        send_report(server, number)


def test_gpus_are_grouped_and_filtered_by_machine(open_page: Open, server: TrainingServer) -> None:
    page = open_page("#/gpus")
    expect(page.locator(".fleet-node")).to_have_count(3)
    expect(page.get_by_role("region", name="gpu2")).to_contain_text("2 of 2 GPUs free")
    page.get_by_role("combobox", name="Machine").select_option("gpu3")
    expect(page.locator(".fleet-node")).to_have_count(1)
    assert "node=gpu3" in page.url
    page.locator(".gpu-tile").nth(1).click()
    expect(page.get_by_role("heading", name="GPU", level=1)).to_be_visible()
    assert "gpu3%3A1" in page.url


def test_machine_is_drained_and_resumed(open_page: Open, server: TrainingServer) -> None:
    send_report(server, 2)
    page = open_page("#/gpus/machines")
    row = page.get_by_role("row").filter(has_text="gpu2")
    row.get_by_role("button", name="Drain").click()
    page.get_by_label("Reason").fill("its fans are replaced")
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    expect(row).to_contain_text("its fans are replaced")
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_role("button", name="Drain", exact=True)).to_be_visible()


def test_stopped_machine_can_be_removed(open_page: Open, server: TrainingServer) -> None:
    send_report(server, 4)
    send_report(server, 4, leaves=True)
    page = open_page("#/gpus/machines", viewport={"width": 390, "height": 844})
    row = page.get_by_role("row").filter(has_text="gpu4")
    expect(row).to_contain_text("stopped")
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("row").filter(has_text="gpu4")).to_have_count(0)


def test_problem_of_an_online_machine_is_highlighted(open_page: Open, server: TrainingServer) -> None:
    send_report(server, 6, version="9.9.9")
    page = open_page("#/gpus/machines")
    row = page.get_by_role("row").filter(has_text="gpu6")
    expect(row).to_contain_text("online")
    expect(row.locator(".warn")).to_contain_text("update the head first")
    send_report(server, 6, leaves=True)
    server.client.delete("/api/v1/nodes/gpu6").raise_for_status()


def test_keyboard_focus_stays_while_machines_come_and_go(open_page: Open, server: TrainingServer) -> None:
    send_report(server, 2)
    page = open_page("#/gpus/machines")
    button = page.get_by_role("row").filter(has_text="gpu2").get_by_role("button", name="Drain", exact=True)
    button.focus()
    send_report(server, 5)
    other = page.get_by_role("row").filter(has_text="gpu5")
    expect(other).to_contain_text("online")
    send_report(server, 5, leaves=True)
    # Stopped machines are listed first.
    expect(page.locator("tr:has-text('gpu5') ~ tr:has-text('this server')")).to_have_count(1)
    expect(button).to_be_focused()
    server.client.delete("/api/v1/nodes/gpu5").raise_for_status()
    expect(other).to_have_count(0)
    expect(button).to_be_focused()


def test_training_shows_that_its_machine_is_silent(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(30_000, gpus=[0]))
    server.await_status(task_id, "running")
    address = f"#/trainings/{task_id}"
    page = open_page(address)
    [name] = {attempt["node"] for attempt in server.task(task_id)["attempts"]}
    expect(page.get_by_text(f"Machine {name}")).to_be_visible()
    page.goto("about:blank")
    page.route("**/api/v1/nodes", lambda route: route.fulfill(json=_silent(server, name, task_id)))
    page.goto(f"http://127.0.0.1:{server.port}/{address}")
    note = page.locator(".note", has_text=f"Machine {name}: no reports")
    expect(note).to_contain_text("it has not reported for 20 s")
    expect(note).to_contain_text("not restarted elsewhere until this is known")
    page.goto(f"http://127.0.0.1:{server.port}/#/gpus/machines")
    expect(page.get_by_role("row").filter(has_text=f"{name} ").first).to_contain_text("continues on gpu2")
    server.stop_task(task_id, force=True)


def _silent(server: TrainingServer, name: str, task_id: str) -> Any:
    """Return the list of machines as if this one were silent and its training had moved to gpu2."""
    answer = server.client.get("/api/v1/nodes").json()
    nodes = {node["name"]: node for node in answer["data"]["nodes"]}
    changes = {"reason": "it has not reported for 20 s", "reason_code": None}
    nodes[name].update(state="unknown", is_this_server=False, **changes)
    nodes["gpu2"]["state"] = "up"
    nodes["gpu2"]["tasks"] = nodes[name]["tasks"] = [{"task_id": task_id, "task_type": "training"}]
    return answer


def test_gpus_of_a_machine_and_slurm_options_are_sent(open_page: Open, server: TrainingServer) -> None:
    for number in (2, 3):
        send_report(server, number)
    overview = server.get("/system/overview")
    cluster = {"name": "slurm", "nodes": ["gpu2", "gpu3"], "partitions": ["big", "gpu"], "features": ["h100"]}
    page = open_page("#/trainings")
    page.route("**/system/overview", lambda route: route.fulfill(json={"data": overview | {"executor": cluster}}))
    page.goto(page.url.replace("#/trainings", "#/new"))
    unfold(page, "GPUs")
    page.get_by_label("These GPUs").check()
    expect(page.locator(".gpu-pick-node")).to_have_count(2)
    page.get_by_role("group", name="gpu3").get_by_label("GPU 1").check()
    page.get_by_label("Partition").fill("gpu")
    page.get_by_label("Time limit (minutes)").fill("90")
    with page.expect_request("**/training/validate") as requested:
        page.get_by_role("button", name="Validate").click()
    sent = requested.value.post_data_json
    assert (sent["gpu_ids"], sent["slurm"]) == (["gpu3:1"], {"partition": "gpu", "time_limit": 90})


def test_slurm_options_are_hidden_without_a_cluster(open_page: Open, server: TrainingServer) -> None:
    page = open_page("#/new")
    unfold(page, "GPUs")
    page.get_by_label("These GPUs").check()
    expect(page.locator(".gpu-pick").first).to_be_visible()
    expect(page.get_by_text("Cluster (Slurm)")).to_be_hidden()


def test_servers_are_listed_with_their_leader_roles(open_page: Open, server: TrainingServer) -> None:
    answer = server.client.get("/api/v1/system/servers").json()
    [own] = answer["data"]["servers"]
    other = own | {"server_id": "b", "host": "box9", "is_this_server": False, "state": "unknown", "leads": []}
    page = open_page("#/gpus/machines")
    expect(page.get_by_role("region", name="Servers")).to_have_count(0)
    page.route("**/system/servers", lambda route: route.fulfill(json={"data": {"servers": [own, other]}}))
    panel = page.get_by_role("region", name="Servers")
    expect(panel.get_by_role("row")).to_have_count(3)
    expect(panel.get_by_role("row").nth(1)).to_contain_text("the queue")
    expect(panel.get_by_role("row").nth(2)).to_contain_text("no reports")


def test_problems_of_the_trainer_are_shown_with_their_commands(open_page: Open, server: TrainingServer) -> None:
    panel = open_page("#/gpus/machines").get_by_role("region", name="Trainer's environment")
    expect(panel).to_contain_text("DIFFUSION_PIPE_ROOT")
    expect(panel.locator("pre").first).to_have_text(
        "git clone --recurse-submodules https://github.com/tdrussell/diffusion-pipe"
    )
    panel.get_by_role("button", name="Check again").click()
    expect(panel).to_contain_text("Checking…")
    expect(panel).to_contain_text("Not checked yet")
