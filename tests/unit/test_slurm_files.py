"""The generator of files for a Slurm cluster. tests/e2e/test_slurm_files.py runs a cluster from such files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.config import SETTINGS, Config
from deploy.slurm.configuration import Cluster, gres_conf, slurm_conf
from deploy.slurm.files import Service, files_of, hosts, write_all
from deploy.slurm.machines import BadList, read_machines

ROOT = Path(__file__).parents[2]

HARDWARE = "CPUs=32 Boards=1 SocketsPerBoard=1 CoresPerSocket=32 ThreadsPerCore=1 RealMemory=128000"

THREE = f"""
# Three boxes.
box1 192.168.1.11 gpus=2 type=h100 {HARDWARE}
box2 192.168.1.12 gpus=4 {HARDWARE}   # the large one
box3 192.168.1.13 gpus=1 features=nvlink,fast {HARDWARE}
"""


SHARED_PLACES = ("//", "/etc", "/etc/slurm", "/srv/../etc", "/srv/.", "/var", "/srv", "//usr//x", "/tmp/x")


def lines_of(text: str, *names: str) -> list[str]:
    return [line for line in text.splitlines() if line.partition("=")[0] in names]


def generate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", ROOT / "deploy" / "slurm" / "generate.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_first_machine_is_controller_and_head_by_default() -> None:
    machines = read_machines(THREE)
    assert [sorted(machine.roles) for machine in machines] == [["controller", "head"], [], []]


def test_line_may_contain_the_output_of_slurmd() -> None:
    printed = f"NodeName=box1 {HARDWARE}"
    (machine,) = read_machines(f"box1 10.0.0.1 gpus=1 {printed}")
    assert machine.hardware["CoresPerSocket"] == 32


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("box4", '"box4" has no address'),
        ("Box_4 10.0.0.4 gpus=1", '"Box_4" is no machine name'),
        ("box4 box4.lan", '"box4.lan" is no address'),
        ("box4 10.0.0.4 gpus=many CPUs=1 RealMemory=1", 'gpus="many" is not a number from 0 to 1024'),
        ("box4 10.0.0.4 gpus=-1", 'gpus="-1" is not a number'),
        ("box4 10.0.0.4 gpus=٣", 'gpus="٣" is not a number'),
        ("box4 10.0.0.4 gpus=1", "box4 has GPUs and no CPUs= or no RealMemory=: add the output of `slurmd -C`"),
        ("box4 10.0.0.4 gpu=1", '"gpu=" is unknown'),
        ("box4 10.0.0.4 gpus=1 gpus=2", '"gpus=" is given twice'),
        ("box4 10.0.0.4 gpus=", '"gpus=" has no value'),
        ("box4 10.0.0.4 leader", '"leader" is unknown; known are controller, backup, head'),
        ("box4 10.0.0.4 gpus=1 type=a/../b", 'type="a/../b" is no GPU type'),
        ("box4 10.0.0.4 features=a;b", 'features="a;b": "a;b" must consist of'),
        ("box4 10.0.0.4 host=a;reboot", 'host="a;reboot" is no host name'),
        ("box4 10.0.0.4 files=dev/a", 'files="dev/a" is no path of a device'),
        ("box1 10.0.0.4", '"box1" is in an earlier line already'),
        ("box4 192.168.1.12", "192.168.1.12 is the address of box2 already"),
        ("box4 10.0.0.4 gpus=3 files=/dev/a,/dev/b", "gpus=3, but 2 files are named"),
        ("box4 10.0.0.4 files=/dev/a,/dev/a", "files=/dev/a,/dev/a names a device twice"),
        ("box4 10.0.0.4 files=/dev/../etc/a", 'files="/dev/../etc/a" is no path of a device'),
        ("box4 10.0.0.4 gpus=0", "box4 has no GPUs and no role"),
        ("box4 fd00::4", '"fd00::4" is an IPv6 address'),
        ("box4 fe80::4%$(reboot)", '"fe80::4%$(reboot)" is an IPv6 address'),
        *(
            (f"box4 {place}", f'"{place}" is no address of a machine')
            for place in ("0.0.0.0", "224.0.0.1", "255.1.1.1")
        ),
        *((f"{name} 10.0.0.4", f'"{name}" has a special meaning') for name in ("all", "default", "localhost")),
    ],
)
def test_invalid_line_is_reported_with_the_reason(line: str, why: str) -> None:
    with pytest.raises(BadList) as refused:
        read_machines(f"{THREE}{line}\n")
    assert str(refused.value).startswith(f"line {THREE.count(chr(10)) + 1}: {why}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no machine has GPUs"),
        ("box1 10.0.0.1\n", "no machine has GPUs"),
        (f"a 10.0.0.1 controller\nb 10.0.0.2 controller gpus=1 {HARDWARE}", "a and b are both controller"),
        (f"a 10.0.0.1 backup gpus=1 {HARDWARE}", "a is controller and backup"),
        (f"a 10.0.0.1\nb 127.0.1.1 gpus=1 {HARDWARE}", "b has the address 127.0.1.1, by which every other"),
    ],
)
def test_list_without_a_cluster_is_rejected(text: str, why: str) -> None:
    with pytest.raises(BadList, match=why):
        read_machines(text)


def test_some_memory_is_reserved_and_each_gpu_gets_a_part() -> None:
    text = slurm_conf(Cluster(read_machines(THREE)))
    assert "RealMemory=121600 Gres=gpu:h100:2" in lines_of(text, "NodeName")[0]
    assert lines_of(text, "DefCpuPerGPU", "DefMemPerGPU") == ["DefCpuPerGPU=8", "DefMemPerGPU=30400"]


def test_features_and_partitions_are_configured() -> None:
    text = slurm_conf(Cluster(read_machines(THREE)))
    assert lines_of(text, "NodeName")[2].endswith("Gres=gpu:1 Feature=nvlink,fast State=UNKNOWN")
    assert [line.split()[1] for line in lines_of(text, "PartitionName")] == ["Nodes=box1,box2,box3"] * 2


def test_setting_is_replaced_once_or_added_before_the_nodes() -> None:
    text = slurm_conf(Cluster(read_machines(THREE)), {"KillWait": "5", "SlurmdParameters": "config_overrides"})
    assert lines_of(text, "KillWait") == ["KillWait=5"]
    assert text.index("SlurmdParameters=config_overrides") < text.index("NodeName=box1")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        # A daemon that was forked twice is missed by linuxproc.
        ("ProctrackType", "proctrack/cgroup"),
        # By default it listens on every address.
        ("CommunicationParameters", "NoCtldInAddrAny,NoInAddrAny"),
        # After 300 s, the default, an ended job would be forgotten before a service that was down had seen it.
        ("MinJobAge", "3600"),
        # Fencing of a machine that is cut off; only tests use a lower value.
        ("AuthInfo", "cred_expire=120"),
    ],
)
def test_dangerous_defaults_of_slurm_are_changed(setting: str, value: str) -> None:
    assert lines_of(slurm_conf(Cluster(read_machines(THREE))), setting) == [f"{setting}={value}"]


def test_lost_machine_ends_its_jobs_before_they_start_elsewhere() -> None:
    cluster = Cluster(read_machines(THREE))
    assert cluster.cred_expire >= cluster.slurmd_timeout


def test_slurm_waits_for_a_stop_with_a_checkpoint() -> None:
    # KillWait applies to the whole cluster.
    stop = Config(storage_root=Path("/x"))
    cluster = Cluster(read_machines(THREE))
    assert cluster.kill_wait >= stop.stop_checkpoint_seconds + stop.stop_terminate_seconds


def test_slurmrestd_runs_neither_as_root_nor_as_the_slurm_user() -> None:
    machines = read_machines(THREE)
    files = files_of(Cluster(machines), Service(), machines[0])
    (unit,) = (text for path, text in files.items() if "slurmrestd.service.d" in path)
    assert lines_of(unit, "User") == ["User=slurmrestd"]
    assert Cluster(machines).slurm_user != "slurmrestd"
    # It would log two lines per request, twice, and fill the journal.
    assert lines_of(unit, "LogLevelMax") == ["LogLevelMax=notice"]


def test_gpus_are_found_by_nvml_or_by_their_files() -> None:
    machines = read_machines(f"{THREE}box4 10.0.0.4 files=/dev/a,/dev/b {HARDWARE}")
    detected, off = gres_conf(Cluster(machines)), gres_conf(Cluster(machines, detect="off"))
    assert "NodeName=box2 AutoDetect=nvml\n" in detected
    assert "NodeName=box4 AutoDetect=off Name=gpu File=/dev/a,/dev/b\n" in detected
    assert "NodeName=box2 AutoDetect=off Name=gpu File=/dev/nvidia[0-3]\n" in off
    assert "NodeName=box3 AutoDetect=off Name=gpu File=/dev/nvidia0\n" in off


def test_each_machine_gets_only_the_files_of_its_roles() -> None:
    machines = read_machines(f"boss 10.0.0.9 controller\nspare 10.0.0.8 backup\n{THREE}")
    cluster = Cluster(machines, state="/srv/state")
    units = {
        machine.name: sorted(
            Path(path).parent.name for path in files_of(cluster, Service(), machine) if ".d/diff" in path
        )
        for machine in machines
    }
    assert units["boss"] == ["slurmctld.service.d", "slurmrestd.service.d"]
    assert units["spare"] == ["slurmctld.service.d"]
    assert units["box1"] == ["slurmd.service.d"]
    assert [line for line in slurm_conf(cluster).splitlines() if line.startswith("SlurmctldHost")] == [
        "SlurmctldHost=boss(10.0.0.9)",
        "SlurmctldHost=spare(10.0.0.8)",
    ]
    assert hosts(cluster).count("\n") == 7


def test_keys_are_private_and_reused_and_only_controllers_have_the_token_key(tmp_path: Path) -> None:
    cluster, out = Cluster(read_machines(THREE)), tmp_path / "out"
    write_all(cluster, Service(), out)
    keys = {path: (path.read_bytes(), path.stat().st_mode & 0o777) for path in out.rglob("*.key")}
    write_all(cluster, Service(), out)
    assert {path: (path.read_bytes(), path.stat().st_mode & 0o777) for path in out.rglob("*.key")} == keys
    assert {mode for _, mode in keys.values()} == {0o600}
    assert {path.relative_to(out).parts[0] for path in keys if path.name == "jwt.key"} == {"box1", "jwt.key"}
    assert out.stat().st_mode & 0o777 == 0o700


def test_files_of_former_roles_are_not_installed_again(tmp_path: Path) -> None:
    write_all(Cluster(read_machines(THREE)), Service(), tmp_path)
    moved = read_machines(THREE.replace("192.168.1.12", "192.168.1.12 controller head"))
    write_all(Cluster(moved), Service(), tmp_path)
    assert not (tmp_path / "box1" / "files" / "etc" / "slurm" / "jwt.key").exists()


def test_command_prints_the_location_of_the_files_and_the_next_steps(tmp_path: Path) -> None:
    (tmp_path / "nodes.txt").write_text(THREE)
    done = generate(tmp_path / "nodes.txt", tmp_path / "out", "--kill-wait", "100")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{tmp_path}/out/box3: copy it to 192.168.1.13 (1 GPU), and run there as root: sh install.sh" in done.stdout
    assert "192.168.1.11 (controller, head, 2 GPUs)" in done.stdout
    assert "KillWait=100\n" in (tmp_path / "out" / "box3" / "files" / "etc" / "slurm" / "slurm.conf").read_text()


@pytest.mark.parametrize(
    ("text", "options", "why"),
    [
        ("box1", (), 'nodes.txt: line 1: "box1" has no address: NAME ADDRESS gpus=N\n'),
        (f"a 10.0.0.1\nb 10.0.0.2 backup gpus=1 {HARDWARE}", (), "nodes.txt: a backup needs --state: a directory"),
        (THREE, ("--user", "a;reboot"), '"a;reboot" is not lower-case letters'),
        (THREE, ("--storage", "/srv/$(reboot)"), '"/srv/$(reboot)" is not a path'),
        (THREE, ("--head-url", "http://a b"), '"http://a b" is not an address'),
        (THREE, ("--kill-wait", "soon"), '"soon" is not a number from 5 to 65533'),
        *(
            (THREE, ("--user", user), f'"{user}" has more rights than a training may have')
            for user in ("root", "slurm")
        ),
        # A script that runs as root changes its owner to Slurm's user.
        *((THREE, ("--state", place), f'"{place}" is shared or belongs to the system') for place in SHARED_PLACES),
        *((THREE, ("--storage", place), f'"{place}" is shared or belongs to the system') for place in SHARED_PLACES),
        *((THREE, ("--state", f"/srv/diffusion-pipe{more}"), "contain each other") for more in ("", "/", "/state")),
        (THREE, ("--state", "/srv/a", "--storage", "/srv/a/b"), "contain each other"),
    ],
)
def test_command_reports_an_error_in_one_line(tmp_path: Path, text: str, options: tuple[str, ...], why: str) -> None:
    (tmp_path / "nodes.txt").write_text(text)
    done = generate(tmp_path / "nodes.txt", tmp_path / "out", *options)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_list_may_have_any_line_ends_and_a_byte_order_mark(tmp_path: Path, form: str, end: str) -> None:
    (tmp_path / "nodes.txt").write_bytes(THREE.strip().replace("\n", end).encode(form))
    assert generate(tmp_path / "nodes.txt", tmp_path / "out").returncode == 0
    assert "\r" not in (tmp_path / "out" / "box1" / "files" / "etc" / "slurm" / "slurm.conf").read_text()


def test_directory_with_other_files_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "nodes.txt").write_text(THREE)
    tmp_path.chmod(0o755)
    done = generate(tmp_path / "nodes.txt", tmp_path)
    assert (done.returncode, f"{tmp_path} contains other files" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["nodes.txt"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_files_of_machines_removed_from_the_list_are_reported(tmp_path: Path) -> None:
    nodes, out = tmp_path / "nodes.txt", tmp_path / "out"
    nodes.write_text(f"{THREE}box4 10.0.0.4 gpus=1 {HARDWARE}")
    assert "any more" not in generate(nodes, out).stdout
    nodes.write_text(THREE)
    assert f"{out}/box4 belongs to no machine in {nodes} and contains a key: remove it" in generate(nodes, out).stdout
    assert (out / "box4").exists()


def test_binary_list_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "nodes.txt").write_bytes(os.urandom(64) + b"\xff")
    for file in (tmp_path / "nodes.txt", tmp_path / "absent.txt", tmp_path):
        assert "cannot be read" in generate(file, tmp_path / "out").stderr


def test_installer_is_valid_shell(tmp_path: Path) -> None:
    write_all(Cluster(read_machines(THREE)), Service(), tmp_path)
    for name in ("box1", "box2"):
        subprocess.run(["sh", "-n", tmp_path / name / "install.sh"], check=True, timeout=10)
    assert (
        "systemctl restart slurmd.service diffusion-pipe-api.service\n"
        in (tmp_path / "box2" / "install.sh").read_text()
    )
    assert "apt-get install slurmd slurm-client" in (tmp_path / "box2" / "install.sh").read_text()


def test_head_submits_to_slurm_and_nodes_report_their_gpus_to_it() -> None:
    machines = read_machines(THREE)
    cluster = Cluster(machines)
    place = "etc/systemd/system/diffusion-pipe-api.service"
    units = [files_of(cluster, Service(), machine) for machine in machines]
    assert all(unit[place] == (ROOT / "deploy" / "diffusion-pipe-api.service").read_text() for unit in units)
    head, node, _ = (unit[f"{place}.d/slurm.conf"] for unit in units)
    assert "NODE_NAME=box1 STORAGE_ROOT=/srv/diffusion-pipe API_HOST=192.168.1.11 AUTH=required\n" in head
    assert "EXECUTOR=slurm SLURMRESTD_URL=http://127.0.0.1:6820\n" in head
    assert "ROLE=node NODE_NAME=box2 HEAD_URL=http://192.168.1.11:8080\n" in node
    assert [unit.count("GPU_SOURCE=nvml\n") for unit in (head, node)] == [1, 1]
    # As on the head, so that each checks whether the other sees it.
    assert "STORAGE_ROOT=/srv/diffusion-pipe\n" in node


def test_machine_without_gpus_simulates_none() -> None:
    machines = read_machines(f"boss 10.0.0.9 controller head\n{THREE}")
    files = files_of(Cluster(machines), Service(), machines[0])
    assert "GPU_SOURCE=none\n" in files["etc/systemd/system/diffusion-pipe-api.service.d/slurm.conf"]


def test_every_setting_in_a_unit_exists() -> None:
    machines = read_machines(THREE)
    known = {item.metadata["env"] for item in SETTINGS.values()}
    for machine in machines:
        for path, text in files_of(Cluster(machines), Service(), machine).items():
            if path.endswith("/slurm.conf") and "systemd" in path:
                lines = [line.partition("=")[2] for line in text.splitlines() if line.startswith("Environment=")]
                names = {word.partition("=")[0] for line in lines for word in line.split()}
                assert names <= known
