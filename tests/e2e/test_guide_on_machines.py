"""The guide to several machines: its own lines, with two nodes on the test's own ports."""

import os
import subprocess
import sys
from pathlib import Path

from tests.documents import DOCUMENTS, blocks
from tests.e2e.server import ROOT
from tests.e2e.test_guide_on_a_network import answers, free_ports, replaced
from tests.e2e.training_server import TrainingServer

#: Runs before the chapter's commands, so that no node process stays behind.
PRELUDE = """
set -u
trap 'kill $N2 $N3 2> /dev/null; wait' EXIT
"""


def test_every_line_for_several_machines_runs(tmp_path: Path) -> None:
    guide = "\n".join(blocks(DOCUMENTS["docs/guides/watch-several-machines.md"]))
    for name in ("api", "run.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    second, third = map(str, free_ports(2))
    with TrainingServer(tmp_path / "server") as head:
        known = {
            "http://127.0.0.1:8080": str(head.client.base_url).rstrip("/"),
            "--port 8082": f"--port {second}",
            "--port 8083": f"--port {third}",
            ".venv/bin/python run.py": f"{sys.executable} run.py",
            "| python3 -m json.tool": "",
        }
        done = subprocess.run(
            [
                "bash",
                "-c",
                PRELUDE + replaced(guide, known),
            ],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert [answer["code"] for answer in answers(done.stdout)] == [200] * 5, done.stdout + done.stderr
        statuses = dict(line.split()[:2] for line in done.stdout.splitlines() if line.startswith("gpu"))
        assert statuses == {"gpu2": "unknown", "gpu3": "down"}
        assert len(head.get("/nodes")["nodes"]) == 1
