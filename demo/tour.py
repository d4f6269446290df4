"""The state of the tour: output, client, reserved resources and failed checks."""

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
    """The state that steps share. Every request is printed as a curl command before it is sent."""

    console: Console
    client: Client
    pause: float
    steps: int = 0
    is_simulated: bool = False
    gpu: Mapping[str, Any] = field(default_factory=dict)  #: the GPU that the steps use; empty if there is none
    held: str = ""  #: id of the registration that must be released
    name: str = field(default_factory=lambda: f"demo {uuid.uuid4().hex[:8]}")  #: name of the training
    training: str = ""  #: id of the started training
    may_run: bool = False  #: the training was requested and may still be running
    is_trained: bool = False  #: the training has completed
    failed_checks: list[str] = field(default_factory=list)
    _shown: str = ""

    @property
    def gpu_path(self) -> str:
        """The path of the GPU."""
        return f"{BASE}/gpu/{self.gpu['uuid']}"

    @property
    def training_path(self) -> str:
        """The path of the training."""
        return f"{TRAINING}/{self.training}"

    def head(self, step: "Step", title: str) -> None:
        """Print the heading of a step; its docstring is the explanation."""
        if self.steps and not self.may_run:
            time.sleep(self.pause)
        self.steps += 1
        self._shown = ""
        self.console.print("", Rule(f"{self.steps}. {title}", align="left"), step.__doc__, sep="\n")

    def request(self, path: str, method: str = "GET", body: Any = None, key: str = "") -> Answer:
        """Print the equivalent curl command, send the request and return the response."""
        options = [] if method == "GET" else ["-X", method]
        options += ["-H", f"Idempotency-Key: {key}"] if key else []
        options += [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        self._show(path, options)
        return self.client.request(path, method, body, {"Idempotency-Key": key} if key else None)

    def download(self, path: str, *options: str) -> bytes:
        """Print the equivalent curl command, download the file and return its bytes."""
        self._show(path, list(options))
        return self.client.download(path)

    def events(self, path: str, seconds: float) -> Iterator[Any]:
        """Print the equivalent curl command, follow the stream and yield its events."""
        self._show(path, ["-N"])
        return self.client.events(path, seconds)

    def _show(self, path: str, options: list[str]) -> None:
        command = shlex.join(["curl", "-s", *options, self.client.url + path])
        if self.client.has_key:
            command += f' -H "Authorization: Bearer ${KEY_VARIABLE}"'
        # A request that a step polls is shown once.
        if command != self._shown:
            # Not wrapped, so that it can be copied.
            self.console.print(Text(f"$ {command}", style="cyan"), soft_wrap=True)
        self._shown = command

    def say(self, text: str, style: str = "") -> None:
        """Print a line without interpreting markup, since it may contain text of the server."""
        self.console.print(Text(text, style=style))

    def check(self, is_true: bool, claim: str) -> None:
        """Print a claim and whether it is true. A false claim fails the tour."""
        self.say(f"✓ {claim}" if is_true else f"✗ false: {claim}", "green" if is_true else "bold red")
        if not is_true:
            self.failed_checks.append(claim)


Step = Callable[[Tour], None]
