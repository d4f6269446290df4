"""Secrets in texts of any origin, masked: values of what is named as one, and what stands before a host."""

import re
from collections.abc import Sequence
from itertools import islice

MASK = "***"

# --wandb_api_key=…, HF_TOKEN=…, --password … : the value is nobody's business. A word is looked at once, from its
# beginning, and nothing is given back: linear.
_WORD = r"(?=[\w-]*?(?:api[_-]?key|token|secret|passw(?:or)?d|credential))[\w-]++"
_WHOLE_PAIR = re.compile(rf"({_WORD}=).*", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(rf"(?<![\w-])({_WORD}=)\S++", re.IGNORECASE)
_NAME = re.compile(_WORD, re.IGNORECASE)
_FLAG = re.compile(rf"-{_WORD}", re.IGNORECASE)
_FLAG_AND_VALUE = re.compile(rf"(?<![\w-])(-{_WORD}\s++)\S++", re.IGNORECASE)

# https://name:password@host: a name alone can be a token. What ends an address begins no other, so this is linear.
_USERINFO = re.compile(r"(?<=://)[^\s/?#\"'<>]*@")

# As people write it down: wandb_api_key = "…", token: …, and keys by their own form (Hugging Face, W&B, GitHub, …).
_QUOTED = r"\"[^\"]*+\"?|'[^']*+'?|\S++"
_NOTE = re.compile(rf"(?<![\w-])({_WORD}[\"']?[ \t]*+[=:][ \t]*+)({_QUOTED})", re.IGNORECASE)
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:hf_|sk-|wandb_v1_|gh[opsru]_|github_pat_|glpat-|AKIA|xox[a-z]-)[\w-]{16,}+|[0-9a-f]{40}(?![\w]))"
)


def mask_argument(argument: str, whole: bool) -> str:
    """An argument of a command line; `whole`: a pair in it is the whole argument, blanks included."""
    if whole and (pair := _WHOLE_PAIR.fullmatch(argument)) is not None:
        return pair[1] + MASK
    return mask_userinfo(_FLAG_AND_VALUE.sub(rf"\1{MASK}", _PAIR.sub(rf"\1{MASK}", argument)))


def is_secret_flag(argument: str) -> bool:
    """Whether the argument after this one is a secret."""
    return _FLAG.fullmatch(argument) is not None


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is a secret."""
    return _NAME.fullmatch(name) is not None


def mask_userinfo(text: str) -> str:
    """The text without what stands before the host in its addresses."""
    return _USERINFO.sub(f"{MASK}@", text) if "://" in text else text


def has_userinfo(text: str) -> bool:
    """Whether an address in it holds a name or a password, other than a mask."""
    return any(found[0] != f"{MASK}@" for found in _USERINFO.finditer(text))


def noted_secrets(text: str, most: int) -> list[str]:
    """The values in it that are named as secrets, so many at most."""
    return [found[2].strip("\"'") for found in islice(_NOTE.finditer(text), most)]


def mask_secrets(text: str, known: Sequence[str] = ()) -> str:
    """A note of people, with what looks like a secret masked, and the known ones."""
    for secret in known:
        text = text.replace(secret, MASK)
    return mask_userinfo(_KEY.sub(MASK, _NOTE.sub(rf"\1{MASK}", text)))
