"""The guide in deploy/slurm: its own lines, from the packages to trainings on three machines, run unchanged.

Its machines are processes here. Functions named `ssh`, `sudo` and `journalctl` replace those programs.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.config.sources import read_config
from tests.documents import DOCUMENTS, blocks
from tests.e2e.server import ROOT, until
from tests.e2e.slurm.test_training import settings_of
from tests.e2e.test_guide_on_a_network import replaced
from tests.e2e.training_server import TrainingServer
from tests.slurm_cluster import SlurmCluster

PACKAGES, _, _, _, SERVICE, TRAINING, TRAINER = blocks(DOCUMENTS["deploy/slurm/README.md"])

SOURCES = "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie trixie-updates\nComponents: main\n"
WITH_ALL = "main contrib non-free non-free-firmware"

MACHINES = """
set -eu
journalctl() { cat "$LOG"; }
ssh() {
    box=${1#root@}
    cat > "$box.key"
    export NODE_NAME=$box NODE_KEY_FILE=$PWD/$box.key SIMULATED_SEED=${box#box}
    "$PYTHON" "$RUN" --port 0 < /dev/null > "$box.log" 2>&1 &
    echo $! >> pids
}
trap 'kill $(cat pids)' EXIT
"""

#: A person checks again until every machine is ready.
WAIT = """
up='import json, sys; sys.exit(sum(node["state"] == "up" for node in json.load(sys.stdin)["data"]["nodes"]) < 3)'
for _ in $(seq 100); do
    if curl -sS -H @admin.header $api/nodes | "$PYTHON" -c "$up"; then break; fi
    sleep 0.3
done
"""


@pytest.mark.parametrize("form", ["debian.sources", "sources.list"])
def test_package_component_is_enabled_before_the_package_is_requested(tmp_path: Path, form: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    if form == "debian.sources":
        file, before = tmp_path / "sources.list.d" / form, SOURCES
    else:
        file, before = tmp_path / form, "deb http://deb.debian.org/debian trixie main\n# deb cdrom:[x] trixie main\n"
    file.write_text(before)
    packages = PACKAGES[: PACKAGES.index("sudo useradd")].replace("/etc/apt/", f"{tmp_path}/")
    # apt-get sees the components only after it has updated its lists.
    script = 'sudo() { if [ "$1" = apt-get ]; then echo "$2 $(cat "$FILE" | tr "\\n" " ")"; else "$@"; fi; }\n'
    done = subprocess.run(
        ["sh", "-euc", script + packages],
        env={"PATH": os.environ["PATH"], "FILE": str(file)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    said = done.stdout.splitlines()
    assert [line.split()[0] for line in said] == ["update", "install", "install"]
    assert all(WITH_ALL in line for line in said), done.stdout
    assert file.read_text().count(WITH_ALL) == 1


def test_every_line_from_the_first_key_to_trainings_on_three_machines_runs(tmp_path: Path) -> None:
    boxes = ("box1", "box2", "box3")
    with SlurmCluster(tmp_path / "slurm", boxes) as cluster:
        settings = {**settings_of(cluster), "NODE_NAME": "box1", "AUTH": "required"}
        with TrainingServer(tmp_path / "server", **settings) as head:
            url = f"http://127.0.0.1:{head.port}"
            script = MACHINES + replaced(SERVICE, {"http://192.168.1.11:8080": url}) + WAIT + TRAINING + "\nread -r _\n"
            nodes = {
                "ROLE": "node",
                "HEAD_URL": url,
                "GPU_SOURCE": "simulated",
                "SIMULATED_GPUS": settings["SIMULATED_GPUS"],
                "STORAGE_ROOT": str(head.root),
            }
            variables = {"LOG": str(head.log_path), "PYTHON": sys.executable, "RUN": str(ROOT / "run.py")}
            guide = subprocess.Popen(
                ["bash", "-c", script],
                cwd=tmp_path,
                env={**cluster.environment, **nodes, **variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            header = tmp_path / "admin.header"
            try:
                until(lambda: header.exists() and header.read_text(), what="the administrator's key")
                head.client.headers["Authorization"] = header.read_text().strip().partition(": ")[2]
                until(lambda: guide.poll() is not None or len(head.task_ids()) == 3, what="three trainings")
                for task_id in head.task_ids():
                    head.await_status(task_id, "running")
            finally:
                if guide.poll() is None and len(head.task_ids()) < 3:
                    guide.terminate()
                said = guide.communicate("\n", timeout=30)[0]
            assert guide.returncode == 0, said
            assert header.stat().st_mode & 0o777 == 0o600
            attempts = [head.task(task_id)["attempts"][0] for task_id in head.task_ids()]
            assert sorted(attempt["node"] for attempt in attempts) == list(boxes)


def test_head_learns_where_the_real_trainer_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_PORT=8080\n")
    script = "systemctl() { :; }\nsrun() { :; }\n" + replaced(TRAINER, {"/opt/diffusion-pipe-api": str(tmp_path)})
    subprocess.run(["bash", "-euc", script], check=True, timeout=20)
    config = read_config({}, (), tmp_path / ".env")
    assert config.diffusion_pipe_root == Path("/opt/diffusion-pipe")
    assert config.diffusion_pipe_python == "/opt/diffusion-pipe/.venv/bin/python"
