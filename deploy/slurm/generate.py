"""Makes the files of a Slurm cluster from a list of machines: README.md beside it is the guide."""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from deploy.slurm.configuration import STATE, Cluster
from deploy.slurm.files import BadPlace, Service, find_left, write_all
from deploy.slurm.machines import ROLES, BadList, Machine, read_machines

#: Users that the service cannot be: jobs run as it.
_USERS = frozenset({"root", "slurm", "slurmrestd", "munge", "daemon", "nobody"})

#: Directories below / in which nothing of a cluster may lie, and others that are nobody's alone.
_SYSTEM = frozenset({"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "tmp", "usr"})
_SHARED = frozenset({"home", "media", "mnt", "opt", "srv", "var"})

_FORM = """\
A line of NODES for each machine: its name, its address, what it does and what it has:

  box1 192.168.1.11 controller head gpus=2 type=h100 CPUs=32 RealMemory=128000
  box2 192.168.1.12 backup gpus=4 CPUs=64 RealMemory=256000
  box3 192.168.1.13 gpus=4 features=nvlink CPUs=64 RealMemory=256000

controller  gives out GPUs: the first machine where no line says so
backup      follows the controller when that is gone; needs --state on a shared directory
head        people reach the service there: the controller where no line says so
gpus=N      trainings run there; then CPUs= and RealMemory= are needed: what `slurmd -C` prints there
"""


def main(arguments: list[str] | None = None) -> int:
    """Writes the files; 2 when the list or the directory cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        # With or without the mark that some editors put at a text's beginning.
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
        return _refuse(f"{options.nodes}: {error}" if isinstance(error, BadList) else str(error))
    except OSError as error:
        return _refuse(f"{options.nodes} cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        return _refuse(f"{options.nodes} cannot be read as text: save it as UTF-8 ({error.reason})")
    for machine in machines:
        place, what = options.out / machine.name, _describe(machine)
        print(f"{place}: copy it to {machine.address} ({what}), and there as root: sh install.sh")
    for left in find_left(options.out, machines):
        print(f"{options.out / left} is of no machine in {options.nodes} any more, and holds a key: remove it")
    return 0


def _describe(machine: Machine) -> str:
    """What it will be, so that a slip in its line is seen before anything is installed."""
    gpus = f"{machine.gpus} GPU{'' if machine.gpus == 1 else 's'}" if machine.trains else "no GPUs"
    return ", ".join([*(role for role in ROLES if machine.has(role)), gpus])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Makes the files of a Slurm cluster from a list of machines.",
        epilog=_FORM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("nodes", type=Path, metavar="NODES", help="the list of machines")
    parser.add_argument("out", type=Path, metavar="OUT", help="a directory; keys that are there already stay")
    parser.add_argument("--name", type=_word, default="diffusion", help="of the cluster (default: diffusion)")
    parser.add_argument(
        "--user", type=_user, default="trainer", help="who the service is on every machine (default: trainer)"
    )
    parser.add_argument(
        "--storage",
        type=_place,
        default="/srv/diffusion-pipe",
        help="STORAGE_ROOT, shared by all (default: /srv/diffusion-pipe)",
    )
    parser.add_argument(
        "--head-url", type=_url, help="where machines reach the head (default: http://ITS-ADDRESS:8080)"
    )
    parser.add_argument("--state", type=_place, help="the controller's memory; on a shared directory with a backup")
    parser.add_argument(
        "--detect",
        choices=("nvml", "nvidia", "off"),
        default="nvml",
        help="how GPUs are found: nvml (needs slurm-wlm-nvml-plugin), nvidia (needs nothing, does not know MIG) or off "
        "(/dev/nvidia0 and on; default: nvml)",
    )
    seconds = "seconds (default: %(default)s)"
    parser.add_argument(
        "--node-timeout", type=_seconds, default=60, help=f"after which a silent machine is down: {seconds}"
    )
    parser.add_argument(
        "--cred-expire", type=_seconds, default=120, help=f"that a lost machine's training waits: {seconds}"
    )
    parser.add_argument(
        "--kill-wait", type=_seconds, default=360, help=f"for a checkpoint, from SIGTERM to SIGKILL: {seconds}"
    )
    return parser


def _word(text: str) -> str:
    return _matching(r"[a-z][a-z0-9_-]{0,31}", text, "small letters, digits, hyphens and underscores")


def _user(text: str) -> str:
    if _word(text) in _USERS:
        raise argparse.ArgumentTypeError(f'"{text}" can do more than a training may: make a user for the service alone')
    return text


def _place(text: str) -> str:
    _matching(r"/[A-Za-z0-9_./-]{1,255}", text, "a path that begins with / and has no spaces")
    parts = [part for part in text.split("/") if part]
    is_systems = not parts or parts[0] in _SYSTEM or (len(parts) == 1 and parts[0] in _SHARED)
    # It is given to another user by a script that root runs.
    if is_systems or ".." in parts or "." in parts:
        raise argparse.ArgumentTypeError(
            f'"{text}" is no directory of its own, such as /srv/{"-".join(parts[-1:]) or "x"}'
        )
    return "/" + "/".join(parts)


def _url(text: str) -> str:
    return _matching(
        r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_./-]*)?", text, "an address such as https://gpu.example.org"
    )


def _matching(pattern: str, text: str, form: str) -> str:
    # It goes into scripts that root runs.
    if re.fullmatch(pattern, text, re.ASCII) is None:
        raise argparse.ArgumentTypeError(f'"{text}" is not {form}')
    return text


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 5 <= int(text) <= 65533:
        raise argparse.ArgumentTypeError(f'"{text}" is no number from 5 to 65533')
    return int(text)


def _state_of(options: argparse.Namespace, machines: tuple[Machine, ...]) -> str:
    if not options.state and any(machine.has("backup") for machine in machines):
        raise BadList("a backup needs --state: a directory that both controllers share, such as /srv/slurm-state")
    state, storage = Path(options.state or STATE), Path(options.storage)
    if state == storage or storage in state.parents or state in storage.parents:
        why = "so that trainings could exchange what the controllers keep"
        raise BadPlace(f"the controllers' {state} and the STORAGE_ROOT {storage} lie in each other, {why}")
    return str(state)


def _refuse(why: str) -> int:
    print(f"generate.py: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
