"""The walk so far: where it speaks, whom it asks, what it holds, and what was not as it should be."""

import json
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from demo.client import KEY_VARIABLE, Answer, Client

BASE = "/api/v1"
TASKS = f"{BASE}/gpu/tasks"
TRAINING = f"{BASE}/training"


@dataclass(slots=True)
class Tour:
    """Steps get it one after the other. Every request of a step is shown before it is sent."""

    console: Console
    client: Client
    pause: float
    steps: int = 0
    is_simulated: bool = False
    gpu: Mapping[str, Any] = field(default_factory=dict)  #: the one that the steps are about; empty without any
    held: str = ""  #: what is registered, and has to be released
    name: str = field(default_factory=lambda: f"demo {uuid.uuid4().hex[:8]}")  #: of the training
    training: str = ""  #: its id, once it was started
    may_run: bool = False  #: the training has been asked for and is not known to have ended
    is_trained: bool = False  #: it has completed
    wrong: list[str] = field(default_factory=list)  #: claims that turned out not to be true
    _shown: str = ""

    @property
    def gpu_path(self) -> str:
        """The address of the GPU."""
        return f"{BASE}/gpu/{self.gpu['uuid']}"

    @property
    def training_path(self) -> str:
        """The address of the training."""
        return f"{TRAINING}/{self.training}"

    def head(self, step: "Step", title: str) -> None:
        """Heads a step, which its docstring explains."""
        if self.steps and not self.may_run:
            time.sleep(self.pause)
        self.steps += 1
        self._shown = ""
        self.console.print("", Rule(f"{self.steps}. {title}", align="left"), step.__doc__, sep="\n")

    def ask(self, path: str, method: str = "GET", body: Any = None, key: str = "") -> Answer:
        """Sends a request, after printing the command that does the same by hand; returns its answer."""
        options = [] if method == "GET" else ["-X", method]
        options += ["-H", f"Idempotency-Key: {key}"] if key else []
        options += [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        self._show(path, options)
        return self.client.ask(path, method, body, {"Idempotency-Key": key} if key else None)

    def download(self, path: str, *options: str) -> bytes:
        """Downloads a file, after printing the command that does so; returns its bytes."""
        self._show(path, list(options))
        return self.client.download(path)

    def events(self, path: str, seconds: float) -> Iterator[Any]:
        """Follows a stream, after printing the command that does so; gives what it brings."""
        self._show(path, ["-N"])
        return self.client.events(path, seconds)

    def _show(self, path: str, options: list[str]) -> None:
        command = shlex.join(["curl", "-s", *options, self.client.url + path])
        if self.client.has_key:
            command += f' -H "Authorization: Bearer ${KEY_VARIABLE}"'
        # Asked again and again in one step, it is shown once.
        if command != self._shown:
            # Never wrapped, so that it can be copied.
            self.console.print(Text(f"$ {command}", style="cyan"), soft_wrap=True)
        self._shown = command

    def say(self, text: str, style: str = "") -> None:
        """Prints a line; it is never read as markup, since servers write parts of it."""
        self.console.print(Text(text, style=style))

    def check(self, is_so: bool, claim: str) -> None:
        """Prints a claim; if it is not true, the walk has failed."""
        self.say(f"✓ {claim}" if is_so else f"✗ not so: {claim}", "green" if is_so else "bold red")
        if not is_so:
            self.wrong.append(claim)


Step = Callable[[Tour], None]
