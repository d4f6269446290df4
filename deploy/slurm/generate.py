"""Generate the files of a Slurm cluster from a list of machines: see README.md in this directory."""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from deploy.slurm.configuration import STATE, Cluster
from deploy.slurm.files import BadPlace, Service, find_left, write_all
from deploy.slurm.machines import ROLES, BadList, Machine, read_machines

#: Users that the service must not run as, since jobs run as the same user.
_USERS = frozenset({"root", "slurm", "slurmrestd", "munge", "daemon", "nobody"})

#: Directories below / that must not contain files of the cluster, and directories that other software shares.
_SYSTEM = frozenset({"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "tmp", "usr"})
_SHARED = frozenset({"home", "media", "mnt", "opt", "srv", "var"})

_FORM = """\
NODES has one line per machine: name, address, roles and hardware:

  box1 192.168.1.11 controller head gpus=2 type=h100 CPUs=32 RealMemory=128000
  box2 192.168.1.12 backup gpus=4 CPUs=64 RealMemory=256000
  box3 192.168.1.13 gpus=4 features=nvlink CPUs=64 RealMemory=256000

controller  schedules jobs (default: the first machine)
backup      takes over when the controller fails; requires --state on a shared directory
head        runs the service for users (default: the controller)
gpus=N      runs trainings; requires CPUs= and RealMemory=, which `slurmd -C` prints on the machine
"""


def main(arguments: list[str] | None = None) -> int:
    """Write the files. Return the exit code: 2 if the list or the directory cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        # utf-8-sig: some editors write a byte order mark.
        machines = read_machines(options.nodes.read_text(encoding="utf-8-sig"))
        state = _state_of(options, machines)
        cluster = Cluster(
            machines,
            name=options.name,
            detect=options.detect,
            state=state,
            slurmd_timeout=options.node_timeout,
            cred_expire=options.cred_expire,
            kill_wait=options.kill_wait,
        )
        write_all(cluster, Service(options.user, options.storage, options.head_url or ""), options.out)
    except (BadList, BadPlace) as error:
        return _fail(f"{options.nodes}: {error}" if isinstance(error, BadList) else str(error))
    except OSError as error:
        return _fail(f"{options.nodes} cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        return _fail(f"{options.nodes} cannot be read as text: save it as UTF-8 ({error.reason})")
    for machine in machines:
        directory, description = options.out / machine.name, _describe(machine)
        print(f"{directory}: copy it to {machine.address} ({description}), and run there as root: sh install.sh")
    for left in find_left(options.out, machines):
        print(f"{options.out / left} belongs to no machine in {options.nodes} and contains a key: remove it")
    return 0


def _describe(machine: Machine) -> str:
    """Return roles and GPUs, so that a mistake in the list is seen before the installation."""
    gpus = f"{machine.gpus} GPU{'' if machine.gpus == 1 else 's'}" if machine.trains else "no GPUs"
    return ", ".join([*(role for role in ROLES if machine.has(role)), gpus])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Generates the files of a Slurm cluster from a list of machines.",
        epilog=_FORM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("nodes", type=Path, metavar="NODES", help="the list of machines")
    parser.add_argument("out", type=Path, metavar="OUT", help="output directory; existing keys are not replaced")
    parser.add_argument("--name", type=_word, default="diffusion", help="name of the cluster (default: diffusion)")
    parser.add_argument(
        "--user", type=_user, default="trainer", help="user of the service on every machine (default: trainer)"
    )
    parser.add_argument(
        "--storage",
        type=_directory,
        default="/srv/diffusion-pipe",
        help="STORAGE_ROOT, shared by all machines (default: /srv/diffusion-pipe)",
    )
    parser.add_argument(
        "--head-url", type=_url, help="URL of the head for the other machines (default: http://ITS-ADDRESS:8080)"
    )
    parser.add_argument(
        "--state", type=_directory, help="the controller's state directory; shared if there is a backup"
    )
    parser.add_argument(
        "--detect",
        choices=("nvml", "nvidia", "off"),
        default="nvml",
        help="how GPUs are detected: nvml (requires slurm-wlm-nvml-plugin), nvidia (no plugin, no MIG) or off "
        "(/dev/nvidia0 and following; default: nvml)",
    )
    seconds = "seconds (default: %(default)s)"
    parser.add_argument(
        "--node-timeout", type=_seconds, default=60, help=f"time until a silent machine is down: {seconds}"
    )
    parser.add_argument(
        "--cred-expire",
        type=_seconds,
        default=120,
        help=f"time until a lost machine's training may start elsewhere: {seconds}",
    )
    parser.add_argument(
        "--kill-wait", type=_seconds, default=360, help=f"time for a checkpoint, from SIGTERM to SIGKILL: {seconds}"
    )
    return parser


def _word(text: str) -> str:
    return _matching(r"[a-z][a-z0-9_-]{0,31}", text, "lower-case letters, digits, hyphens and underscores")


def _user(text: str) -> str:
    if _word(text) in _USERS:
        raise argparse.ArgumentTypeError(
            f'"{text}" has more rights than a training may have: create a separate user for the service'
        )
    return text


def _directory(text: str) -> str:
    _matching(r"/[A-Za-z0-9_./-]{1,255}", text, "a path that begins with / and has no spaces")
    parts = [part for part in text.split("/") if part]
    is_system = not parts or parts[0] in _SYSTEM or (len(parts) == 1 and parts[0] in _SHARED)
    # A script that root runs changes its owner.
    if is_system or ".." in parts or "." in parts:
        raise argparse.ArgumentTypeError(
            f'"{text}" is shared or belongs to the system: choose another, such as /srv/{"-".join(parts[-1:]) or "x"}'
        )
    return "/" + "/".join(parts)


def _url(text: str) -> str:
    return _matching(
        r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_./-]*)?", text, "an address such as https://gpu.example.org"
    )


def _matching(pattern: str, text: str, form: str) -> str:
    # The text is inserted into scripts that root runs.
    if re.fullmatch(pattern, text, re.ASCII) is None:
        raise argparse.ArgumentTypeError(f'"{text}" is not {form}')
    return text


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 5 <= int(text) <= 65533:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number from 5 to 65533')
    return int(text)


def _state_of(options: argparse.Namespace, machines: tuple[Machine, ...]) -> str:
    if not options.state and any(machine.has("backup") for machine in machines):
        raise BadList("a backup needs --state: a directory that both controllers share, such as /srv/slurm-state")
    state, storage = Path(options.state or STATE), Path(options.storage)
    if state == storage or storage in state.parents or state in storage.parents:
        risk = "so that trainings could change the controllers' state: choose separate directories"
        raise BadPlace(f"the controllers' {state} and the STORAGE_ROOT {storage} contain each other, {risk}")
    return str(state)


def _fail(message: str) -> int:
    print(f"generate.py: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
