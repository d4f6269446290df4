"""A push to a local hub, without waits."""

from pathlib import Path
from typing import Any

from huggingface_hub import set_client_factory

from api.jobs.downloads.http import open_client
from api.jobs.pushes.failures import SingleTryClient
from api.jobs.pushes.publish import Publisher
from api.jobs.pushes.request import CARD, CARD_MARK, CardRule, PushedFile, PushRequest
from api.util.http.addresses import ReachableHosts
from tests.local_hub import LocalHub

TOKEN = "hf_planted_0123456789"
CONTENT = bytes(range(256)) * 2000
CARD_TEXT = f"---\ntags: []\n---\n\n{CARD_MARK}\n\n# cats\n"


def request_for(hub: LocalHub, **more: Any) -> PushRequest:
    given: dict[str, Any] = {
        "endpoint": hub.address,
        "repository": "ann/cats",
        "revision": "main",
        "is_private": True,
        "creates": True,
        "message": "cats v1",
        "card": CardRule.OWN,
        "files": (
            PushedFile("weights.safetensors", "cats-v1.safetensors", len(CONTENT)),
            PushedFile(CARD, CARD, len(CARD_TEXT)),
        ),
        "allowed_hosts": (),
    }
    return PushRequest(**(given | more))


class Push:
    """A publisher that records its waits in seconds, its problems and its progress reports."""

    def __init__(self, hub: LocalHub, work: Path, **more: Any) -> None:
        self.waits: list[float] = []
        self.problems: list[str] = []
        self.reported: list[tuple[int, int, str]] = []
        self.is_stopping = False
        (work / "weights.safetensors").write_bytes(CONTENT)
        (work / CARD).write_text(CARD_TEXT)
        request = request_for(hub, **more)
        hosts = ReachableHosts.of((*request.allowed_hosts, hub.address.removeprefix("http://")))
        set_client_factory(lambda: open_client(hosts, SingleTryClient))
        self.publisher = Publisher(
            request=request,
            token=TOKEN,
            open_client=lambda: open_client(hosts, SingleTryClient),
            work=work,
            report=lambda *reported: self.reported.append(reported),
            warn=self.problems.append,
            is_stopping=lambda: self.is_stopping,
            sleep=self.waits.append,
        )
