"""The model card of a version. Unknown facts are left out."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.catalog.registry.models import ModelVersion, RegisteredModel
from api.domain.models.base_model import CatalogModel, Medium
from api.domain.models.weights import AdapterKind
from api.jobs.pushes.request import CARD_MARK

_PIPELINES = {Medium.IMAGE: "text-to-image", Medium.VIDEO: "text-to-video"}

#: Characters with a meaning in Markdown or in HTML within it.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")

#: File extensions of clips.
_CLIPS = (".mp4", ".webm")

#: The limit of a user's text in the card, in characters.
_MAX_TEXT = 4000


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Facts from the user that the origin does not have. Each may be unknown."""

    license: str | None = None  #: the hub's name of the license, such as apache-2.0
    base_model: str | None = None  #: a repository
    trigger: str | None = None


@dataclass(frozen=True, slots=True)
class CardSample:
    """A sample that is pushed with the version: its path in the repository, and its prompt if known."""

    path: str
    prompt: str | None = None


def write_card(
    model: RegisteredModel,
    version: ModelVersion,
    file: str,
    facts: CardFacts,
    catalog: Mapping[str, CatalogModel],
    samples: Sequence[CardSample] = (),
) -> str:
    """Return the card as Markdown with its YAML header. `file` is the path of the weights in the repository."""
    base = catalog.get(str(version.format.get("base_model") or version.origin.get("model_type") or ""))
    trigger = facts.trigger or version.format.get("metadata", {}).get("modelspec.trigger_phrase")
    parts = [
        _head(model, version, facts, base, trigger, samples),
        CARD_MARK,
        f"# {_plain(model.name)}",
        *_paragraphs(model.description, version.notes),
        *([f"Trigger: `{_code(trigger)}`"] if trigger else []),
        _table(_rows(version, file, facts, base)),
        *(_picture(sample) for sample in samples),
    ]
    return "\n\n".join(parts) + "\n"


def _head(
    model: RegisteredModel,
    version: ModelVersion,
    facts: CardFacts,
    base: CatalogModel | None,
    trigger: str | None,
    samples: Sequence[CardSample],
) -> str:
    kind = version.format.get("kind")
    tags = [kind, "diffusion-pipe", base.model_type if base else None, *model.tags, *version.tags]
    known: dict[str, Any] = {
        "license": facts.license,
        "base_model": facts.base_model,
        "base_model_relation": "adapter" if facts.base_model and kind in set(AdapterKind) else None,
        "pipeline_tag": None if base is None else _PIPELINES[base.medium],
        "instance_prompt": trigger,
        "tags": list(dict.fromkeys(str(tag) for tag in tags if tag)),
        "widget": [{"text": each.prompt or trigger or " ", "output": {"url": each.path}} for each in samples] or None,
    }
    # JSON is valid YAML without ambiguity.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=True)}" for name, value in known.items() if value]
    return "\n".join(["---", *lines, "---"])


def _rows(version: ModelVersion, file: str, facts: CardFacts, base: CatalogModel | None) -> list[tuple[str, Any]]:
    origin, made = version.origin, version.format
    dataset = origin.get("dataset")
    hashes = [str(each.get("manifest_sha256")) for each in origin.get("datasets") or () if isinstance(each, Mapping)]
    return [
        ("File", file),
        ("SHA-256", version.sha256),
        ("Version", version.ordinal),
        ("Kind", made.get("kind")),
        ("Rank", made.get("rank")),
        ("Data type", made.get("dtype")),
        ("Parameters", f"{made['parameters']:,}" if made.get("parameters") else None),
        ("Keys", made.get("keys")),
        ("Read by", ", ".join(made.get("readers") or ()) or None),
        ("Base model", facts.base_model or (base.title if base else None)),
        ("Licence", facts.license),
        ("Licence of the base model", _license_of(base)),
        ("Epoch", origin.get("epoch")),
        ("Step", origin.get("step")),
        ("Loss there", origin.get("loss")),
        ("Evaluation loss there", origin.get("eval_loss")),
        ("Dataset", dataset if isinstance(dataset, str) else None),
        ("Dataset manifest (SHA-256)", ", ".join(hashes) or None),
        ("Trainer commit", origin.get("trainer_commit")),
    ]


def _license_of(base: CatalogModel | None) -> str | None:
    """Return the licence of all variants of a base model; None if they differ or one is unknown."""
    found = {need.license for variant in (base.variants if base else ()) for need in variant.components[:1]}
    return found.pop() if len(found) == 1 else None


def _table(rows: Sequence[tuple[str, Any]]) -> str:
    known = [f"| {name} | {_plain(str(value))} |" for name, value in rows if value is not None]
    return "\n".join(["| | |", "|---|---|", *known])


def _paragraphs(*texts: str | None) -> list[str]:
    return [_plain(text[:_MAX_TEXT]) for text in texts if text and text.strip()]


def _picture(sample: CardSample) -> str:
    if sample.path.endswith(_CLIPS):
        # Markdown has no syntax for videos. The path needs no escaping, because the service made it.
        title = html.escape(" ".join((sample.prompt or sample.path).split()))
        return f'<video controls src="{sample.path}" title="{title}"></video>'
    return f"![{_plain(sample.prompt or sample.path)}](<{sample.path}>)"


def _plain(text: str) -> str:
    """Return a user's text on one line, escaped for Markdown."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return " ".join(text.replace("`", "'").split())
