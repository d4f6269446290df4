"""The commands."""

import io
import mimetypes
import os
import signal
import sys
import uuid
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TransferSpeedColumn

from dpipe.aio import AsyncClient
from dpipe.cli import top as top_screen
from dpipe.cli.local import own_server
from dpipe.cli.session import FAILED, INTERRUPTED, Session, command
from dpipe.cli.show import COMPARED, GPUS, TASKS, Columns, counted, duration, findings, gigabytes, number, style_of
from dpipe.client import Client, Training
from dpipe.errors import DpipeError, NotFound
from dpipe.requests import join, local_name
from dpipe.settings import load, save
from dpipe.version import VERSION

app = typer.Typer(
    help="Diffusion trainings on shared GPUs, from the command line.",
    epilog=(
        "Exit codes: 0 success; 1 refused, or the training failed or was stopped; 2 wrong usage; 3 server "
        "unreachable; 4 not authorised; 130 interrupted; 141 the reader of the output left.\n\n"
        "Environment: DPIPE_URL, DPIPE_KEY (or `dpipe login`), NO_COLOR."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: With more GPUs, `status` counts those of each model and status; `top` shows each.
MOST_GPUS = 16

Config = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The trainer's configuration, TOML.")]
Task = Annotated[str, typer.Argument(help="Id of the training.")]
ModelType = Annotated[str | None, typer.Option(help="flux, wan, … By default model.type of CONFIG.")]
Dataset = Annotated[str | None, typer.Option(help="A dataset of the server (cats, cats@3), or a TOML file.")]
GPUs = Annotated[int | None, typer.Option(min=1, help="Number of GPUs; by default 1.")]
Name = Annotated[str | None, typer.Option(help="Name of the training.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Follow it until it ends.")]
Given = Mapping[str, Any]

_LINE = BarColumn(20)
_TRANSFER = (_LINE, DownloadColumn(), TransferSpeedColumn())


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        sys.stdout.write(f"dpipe {VERSION}\n")
        raise typer.Exit


@command(app)
def status(cli: Session) -> None:
    """Show the server, its GPUs and the active trainings."""
    health, overview = cli.client.get("/health"), cli.client.get("/system/overview")
    state, tasks = top_screen.read(cli)
    gpus = state["gpus"]
    if cli.prints_json({"health": health, "overview": overview, "gpus": gpus, "tasks": tasks}):
        return
    host, totals, cards = overview["system"], overview["tasks"], overview["gpus"]
    cli.line(f"{cli.client.url}: version {health['version']}, up {duration(health['uptime'])}, {health['status']}")
    for problem in health["problems"]:
        cli.line(f"  {problem}", "yellow")
    used = f"{gigabytes(host['memory_used'])} of {gigabytes(host['memory_total'])} GB memory"
    cli.line(
        f"Host   CPU {number(host['cpu_percent'], '.0f', ' %')}, {used}, {gigabytes(host['disk_free'])} GB disk free"
    )
    counts = [f"{count} {name}" for name, count in totals.items() if count and name != "total"]
    cli.line(f"Tasks  {', '.join(counts) or 'none'}")
    cli.line(f"GPUs   {cards['total']}, {cards['available']} available ({overview['source']})")
    if len(gpus) > MOST_GPUS:
        cli.line(f"       {counted(gpus)}")
    else:
        cli.line()
        cli.table(GPUS, gpus)
    if tasks:
        cli.line()
        cli.table(TASKS, tasks)


@command(app)
def top(
    cli: Session,
    interval: Annotated[float, typer.Option("--interval", "-i", min=0.5, max=3600, help="Seconds.")] = 2.0,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Print this many states and end.")] = None,
) -> None:
    """Show GPUs and trainings live; q quits. In a pipe, print the state again and again."""
    if cli.is_live and count is None:
        top_screen.show_live(cli, interval)
    else:
        top_screen.print_states(cli, interval, count)


@command(app, "ls")
def list_trainings(
    cli: Session,
    status: Annotated[str | None, typer.Option(help="One or more, separated by commas: queued,running.")] = None,
    search: Annotated[str | None, typer.Option(help="Part of the id or of a label.")] = None,
    kind: Annotated[str, typer.Option(help="training, cache, export, rehearse or sample.")] = "training",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most rows.")] = 20,
) -> None:
    """List trainings, newest first."""
    found = cli.client.trainings.list(status=status, search=search, kind=kind, limit=limit)
    rows = [task.data for task in found]
    if not cli.prints_json(rows):
        is_filtered = status is not None or search is not None or kind != "training"
        cli.table(TASKS, rows, "None found." if is_filtered else "No trainings. Start one: dpipe train CONFIG")


@command(app)
def train(
    cli: Session,
    config: Config,
    model_type: ModelType = None,
    dataset: Dataset = None,
    gpus: GPUs = None,
    name: Name = None,
    samples: Annotated[str | None, typer.Option(help="Sample set to render after each saved model.")] = None,
    follow: Follow = False,
) -> None:
    """Start a training. With --follow, the exit code says whether it completed."""
    rendered = None if samples is None else {"sample_set": samples}
    training = cli.client.trainings.start(
        config, dataset, model_type=model_type, gpus=gpus, name=name, samples=rendered
    )
    _show_task(cli, training)
    if follow:
        _follow(cli, training)


@command(app)
def run(
    cli: Session,
    config: Config,
    model_type: ModelType = None,
    dataset: Dataset = None,
    gpus: GPUs = None,
    name: Name = None,
    service: Annotated[Path | None, typer.Option(envvar="DPIPE_SERVICE", help="The service's checkout.")] = None,
) -> None:
    """Train without a server, which runs until the training ends.

    Ctrl-C stops the training with a checkpoint, and again without. The results stay in the service's storage.
    """
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.default_int_handler)
    with own_server(cli.client, service) as is_own:
        cli.note(f"{'Server started at' if is_own else 'There is a server at'} {cli.client.url}.")
        options: dict[str, Any] = {"model_type": model_type, "gpus": gpus, "name": name}
        start = partial(cli.client.trainings.start, config, dataset, idempotency_key=str(uuid.uuid4()), **options)
        training = None
        try:
            training = start()
            _show_task(cli, training)
            _print_events(cli, training)
        except KeyboardInterrupt:
            # The interrupted request may have started a training: the same key returns it.
            training = training or start()
            cli.note("\nStopping: the training saves a checkpoint. Ctrl-C again ends it at once.")
            try:
                training.stop(wait=True)
            except KeyboardInterrupt:
                training.stop(save=False, wait=True)
            cli.note(f"{training.id} is {training.status}. Continue it later: dpipe resume {training.id}")
            raise
        _end_followed(cli, training)


@command(app)
def logs(
    cli: Session,
    task: Annotated[str | None, typer.Argument(help="By default the newest training.")] = None,
    follow: Follow = False,
    tail: Annotated[int, typer.Option("--tail", "-n", min=0, max=10_000, help="Last lines.")] = 100,
    search: Annotated[str | None, typer.Option(help="Only lines with this text, of the whole log.")] = None,
) -> None:
    """Print the log of a training."""
    client = cli.client
    training = next(client.trainings.list(limit=1), None) if task is None else client.trainings.get(task)
    if training is None:
        raise NotFound("There is no training yet.", code="not_found", remedy="Start one: dpipe train CONFIG")
    if follow:
        for event in training.follow(tail=tail, types="log"):
            if event.kind == "log":
                _print_log(cli, event.data)
        return
    for line in training.logs(search) if search is not None else training.logs(tail=tail):
        _print_log(cli, line)


@command(app)
def stop(
    cli: Session,
    task: Task,
    keep_lora: Annotated[bool, typer.Option("--keep-lora", help="Make a LoRA of the last checkpoint.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for a checkpoint.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
) -> None:
    """Stop a training; it saves a checkpoint first."""
    training = cli.client.trainings.get(task).stop(save=not force, keep_lora=keep_lora, wait=wait)
    cli.answer(training.data, f"{training.id} is {training.status}.")


@command(app)
def resume(cli: Session, task: Task, follow: Follow = False) -> None:
    """Resume a finished training from its last checkpoint."""
    training = cli.client.trainings.get(task).resume()
    _show_task(cli, training)
    if follow:
        _follow(cli, training)


@command(app)
def plan(
    cli: Session, config: Config, model_type: ModelType = None, dataset: Dataset = None, gpus: GPUs = None
) -> None:
    """Show what a start would do, and all mistakes."""
    found = cli.client.trainings.plan(config, dataset, model_type=model_type, gpus=gpus)
    made, assigned = found["plan"], found["gpus"]
    if not cli.prints_json(found) and made is not None:
        waits = assigned["waiting_reason"] if assigned else None
        chosen = ", ".join(map(str, assigned["gpu_ids"])) if assigned else ""
        epochs = f"{number(made['epochs'], 'd')} epochs of {number(made['steps_per_epoch'], 'd')}"
        cli.line(f"Steps     {number(made['total_steps'], 'd')} ({epochs})")
        cli.line(f"Memory    {gigabytes(made['estimated_memory_mb'])} GB of each GPU")
        cli.line(f"Duration  {duration(found['estimated_duration'])}")
        cli.line(f"GPUs      {chosen or waits or made['gpu_count']}")
    _end_check(cli, found, "A start would be accepted.", "A start would be refused.")


@command(app)
def check(
    cli: Session,
    dataset: Annotated[str, typer.Argument(help="A dataset of the server: cats, cats@3.")],
    model_type: Annotated[str | None, typer.Option(help="Also check whether this model type can train on it.")] = None,
    resolution: Annotated[list[int] | None, typer.Option(help="Resolution; may be repeated.")] = None,
) -> None:
    """Check the files of a dataset, and what is trained on."""
    name, _, version = dataset.partition("@")
    wanted = {"version": version or None, "model_type": model_type, "resolutions": resolution}
    body = {field: value for field, value in wanted.items() if value is not None}
    with _bar(cli.err, _LINE, MofNCompleteColumn()) as report:
        while True:
            found = cli.client.post(join("datasets", name, "check"), body)
            report(found["items"] - found["unexamined"], found["items"])
            if not found["unexamined"]:
                break
    if not cli.prints_json(found):
        steps = f", {found['steps_per_epoch']} steps per epoch" if found["steps_per_epoch"] is not None else ""
        cli.line(f"{found['dataset']}@{found['version']}: {found['items']} items{steps}")
        for each in (*found["problems"], *found["skipped"]):
            cli.line(f"  {each['items']}: {each['reason']}")
    _end_check(cli, found, "The dataset is usable.", "The dataset is not usable.")


@command(app)
def upload(
    cli: Session,
    folder: Annotated[Path, typer.Argument(exists=True, help="A folder with pictures or videos, or an archive.")],
    name: Annotated[str | None, typer.Option(help="Name of the dataset; by default that of the folder.")] = None,
) -> None:
    """Upload a folder as a dataset. An interrupted upload continues when it is repeated."""
    with _bar(cli.err, *_TRANSFER) as report:
        dataset = cli.client.datasets.upload(folder, name=name, progress=report)
    cli.answer(dataset.data, f"{dataset.reference} is ready. Check it: dpipe check {dataset.name}")


@command(app)
def samples(
    cli: Session,
    task: Task,
    render: Annotated[str | None, typer.Option(help="Render this sample set first.")] = None,
    checkpoint: Annotated[list[str] | None, typer.Option(help="Saved model (epoch2); may be repeated.")] = None,
    to: Annotated[Path | None, typer.Option(file_okay=False, help="Directory to download them to.")] = None,
) -> None:
    """List samples of a training, render new ones, or download them."""
    training = cli.client.trainings.get(task)
    if render is not None:
        made = training.sample(checkpoint, render)
        cli.note(f"{made.id} renders them.")
        _end_unless_completed(cli, made.wait().data)
    rows = [each for each in training.samples() if not checkpoint or each["checkpoint"] in checkpoint]
    paths: dict[str, str] = {}
    for row in rows:
        if to is not None and row["url"] is not None:
            name = local_name(row["sample_id"]) + (mimetypes.guess_extension(row["media_type"] or "") or "")
            paths[row["sample_id"]] = str(cli.client.save(row["url"], to / name))
    if not cli.prints_json([{**row, "path": paths.get(row["sample_id"])} for row in rows]):
        columns: Columns = {
            "MODEL": lambda row: row["checkpoint"] or "base",
            "PROMPT": itemgetter("prompt"),
            "SEED": itemgetter("seed"),
            "FILE": lambda row: row["problem"] or paths.get(row["sample_id"]) or f"{cli.client.url}{row['url']}",
        }
        nothing = f"No samples. Render some: dpipe samples {training.id} --render SAMPLE_SET"
        cli.table(columns, rows, nothing, wraps=True)


@command(app)
def compare(
    cli: Session,
    tasks: Annotated[list[str], typer.Argument(help="Two to eight trainings.")],
    metric: Annotated[str, typer.Option(help="One or more metrics, separated by commas.")] = "loss",
    axis: Annotated[str, typer.Option(help="step, epoch, images or time.")] = "step",
) -> None:
    """Compare trainings: their figures, and the settings that differ."""
    found = cli.client.trainings.compare(tasks, metric=metric, axis=axis)
    if cli.prints_json(found):
        return
    cli.table(COMPARED, [{**each, "number": place} for place, each in enumerate(found["trainings"], 1)])
    if found["settings"]:
        cli.line()
        titles = ("SETTING", *(str(index + 1) for index in range(len(found["trainings"]))))
        columns = {title: itemgetter(index) for index, title in enumerate(titles)}
        cli.table(columns, [(each["pointer"], *each["values"]) for each in found["settings"]], wraps=True)


@command(app)
def download(
    cli: Session,
    task: Task,
    file: Annotated[str | None, typer.Argument(help="By default the chosen or newest LoRA.")] = None,
    to: Annotated[Path, typer.Option(help="Directory or file.")] = Path(),
) -> None:
    """Download a file of a training, by default its LoRA. A partial download continues."""
    training = cli.client.trainings.get(task)
    with _bar(cli.err, *_TRANSFER) as report:
        path = training.download(file, to=to, progress=report)
    count = path.stat().st_size
    cli.answer({"path": str(path), "size_bytes": count}, f"{path} ({decimal(count)})")


@command(app)
def login(cli: Session, address: Annotated[str | None, typer.Argument(metavar="[URL]")] = None) -> None:
    """Test and store the address of a server and a key."""
    url = load(address or cli.url, "").url
    key = cli.key or os.environ.get("DPIPE_KEY")
    if key is None and sys.stdin.isatty():
        key = typer.prompt(f"Key for {url} (empty: none)", "", hide_input=True, show_default=False, err=True)
    elif key is None:
        key = sys.stdin.readline().strip()
    with Client(url, key, agent="cli") as client:
        who = client.get("/auth/whoami")
    path = save(url, key or None)
    shown = f"Signed in at {url} as {who['user_id']} ({who['role'] or 'own permissions'}); stored in {path}."
    cli.answer({"url": url, "user_id": who["user_id"], "role": who["role"], "file": str(path)}, shown)


@command(app, "open")
def open_page(cli: Session, task: Annotated[str | None, typer.Argument(help="Id of a training.")] = None) -> None:
    """Open the page in a browser, or print its address."""
    address = cli.client.url + ("/" if task is None else f"/#/trainings/{cli.client.trainings.get(task).id}")
    cli.answer({"url": address}, address)
    if cli.is_live and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"):
        webbrowser.open(address)


@command(app)
def mcp(
    cli: Session,
    http: Annotated[bool, typer.Option("--http", help="Serve HTTP instead of standard input and output.")] = False,
    host: Annotated[str, typer.Option(help="Address for --http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port for --http.")] = 8090,
    allowed_host: Annotated[list[str] | None, typer.Option(help="Other value of Host; may be repeated.")] = None,
) -> None:
    """Serve MCP for agents, with the permissions of the key."""
    try:
        from dpipe.mcp_server import serve  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as error:
        remedy = "Install it: pip install 'dpipe[mcp]'"
        raise DpipeError(f"The MCP server needs the package {error.name}.", code="no_mcp", remedy=remedy) from None
    serve(AsyncClient(cli.url, cli.key, agent="mcp"), http=http, host=host, port=port, allowed_hosts=allowed_host or ())


def _show_task(cli: Session, training: Training) -> None:
    waiting = training.data["waiting_reason"]
    text = f"{training.id} is {training.status}{f': {waiting}' if waiting else '.'}"
    cli.answer(training.data, text, as_line=True)


def _follow(cli: Session, training: Training) -> None:
    """Follow a training, which an interruption leaves alone; end the command unless it completes."""
    try:
        _print_events(cli, training)
    except KeyboardInterrupt:
        cli.note(f"\n{training.id} continues. Follow it: dpipe logs -f {training.id}")
        raise typer.Exit(INTERRUPTED) from None
    _end_followed(cli, training)


def _print_events(cli: Session, training: Training) -> None:
    """Print the log until the training ends, and progress below it on a terminal."""
    with _bar(cli.out, _LINE, TextColumn("{task.description}"), disable=cli.as_json) as show:
        for event in training.follow():
            if cli.prints_json({"kind": event.kind, "data": event.data}, as_line=True):
                continue
            if event.kind == "log":
                _print_log(cli, event.data)
            elif event.kind == "progress":
                done = event.data["progress"]["overall_progress"] or 0
                show(done, 100, description=_facts(event.data))
            elif event.data.get("event", {}).get("message"):
                cli.note(event.data["event"]["message"])


def _end_followed(cli: Session, training: Training) -> None:
    task = training.refresh().data
    cli.prints_json({"kind": "end", "data": task}, as_line=True)
    _end_unless_completed(cli, task)
    spent = duration(task["progress"]["training_time"])
    cli.note(f"{training.id} completed after {spent}. Its files: {task['output_dir']}", style_of("completed"))


def _end_unless_completed(cli: Session, task: Given) -> None:
    if task["status"] == "completed":
        return
    failure = task["failure"] or {}
    cli.note(f"{task['task_id']} is {task['status']}. {failure.get('detail', '')}", style_of(task["status"]))
    if failure.get("remedy"):
        cli.note(f"→ {failure['remedy']}", "")
    raise typer.Exit(FAILED)


def _end_check(cli: Session, found: Given, good: str, bad: str) -> None:
    """Print findings and their summary, and end the command if there are errors."""
    for label, style in (("errors", "red"), ("warnings", "yellow")):
        if found[label] and not cli.as_json:
            cli.line(f"{label.capitalize()}:", style)
            for text in findings(found[label]):
                cli.line(text)
    if not cli.as_json:
        cli.line(good if found["valid"] else bad, "green" if found["valid"] else "red")
    if not found["valid"]:
        raise typer.Exit(FAILED)


def _print_log(cli: Session, line: Given) -> None:
    cli.answer(line, line["message"] if "message" in line else line["matched_text"], as_line=True)


def _facts(view: Given) -> str:
    at, done = view["progress"], view["progress"]["overall_progress"]
    steps = f"step {number(at['current_step'], 'd')}/{number(at['total_steps'], 'd')}"
    loss, left = number(view["metrics"]["current_loss"]), duration(at["eta_seconds"])
    return f"{number(done, '.0f', ' %')} {at['stage'] or view['status']} {steps} loss {loss} {left} left"


@contextmanager
def _bar(console: Console, *columns: Any, disable: bool = False) -> Iterator[Callable[..., None]]:
    """Yield a function that updates a bar. It is shown on terminals only."""
    with Progress(*columns, console=console, transient=True, refresh_per_second=2, disable=disable) as bars:
        shown = bars.add_task("", total=None)
        yield lambda done, total, **more: bars.update(shown, completed=done, total=total, **more)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without these characters still shows the figures.
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="dpipe")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
