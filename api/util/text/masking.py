"""Mask secrets in any text: values with secret names, known forms of keys, and `user:password@`."""

import re
from collections.abc import Sequence
from itertools import islice
from urllib.parse import unquote_plus

MASK = "***"

#: Words in the name of a parameter whose value is a key, or a signature in place of one.
_CREDENTIAL_WORDS = frozenset(
    {"key", "apikey", "accesskey", "auth", "authorization", "bearer", "jwt", "pwd", "sas", "sig", "signature"}
)

# --wandb_api_key=…, HF_TOKEN=…, --password …: the value must not be shown. Each word is matched once from its start
# without backtracking, so this is linear. The name of a file with a secret may be shown.
_WORD = r"(?=[\w-]*?(?:api[_-]?key|token|secret|passw(?:or)?d|credential))(?![\w-]*?[_-]file(?![\w-]))[\w-]++"
_WHOLE_PAIR = re.compile(rf"({_WORD}=).*", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(rf"(?<![\w-])({_WORD}=)\S++", re.IGNORECASE)
_NAME = re.compile(_WORD, re.IGNORECASE)
_FLAG = re.compile(rf"-{_WORD}", re.IGNORECASE)
_FLAG_AND_VALUE = re.compile(rf"(?<![\w-])(-{_WORD}\s++)\S++", re.IGNORECASE)

# https://name:password@host: a name alone can be a token. The end of an address cannot start another, so this is
# linear.
_USERINFO = re.compile(r"(?<=://)[^\s/?#\"'<>]*@")

# As people write them: wandb_api_key = "…", token: …, and known forms of keys (ours, Hugging Face, W&B, …).
_QUOTED = r"\"[^\"]*+\"?|'[^']*+'?|\S++"
_NOTE = re.compile(rf"(?<![\w-])({_WORD}[\"']?[ \t]*+[=:][ \t]*+)({_QUOTED})", re.IGNORECASE)
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:hf_|sk-|wandb_v1_|gh[opsru]_|github_pat_|glpat-|AKIA|xox[a-z]-|dp_[a-z0-9]{12}_)[\w-]{16,}+|[0-9a-f]{40}(?![\w]))"
)


def mask_argument(argument: str, whole: bool) -> str:
    """Return an argument of a command line, masked.

    With `whole`, the value in `NAME=value` is the complete rest, including spaces.
    """
    if whole and (pair := _WHOLE_PAIR.fullmatch(argument)) is not None:
        return pair[1] + MASK
    return mask_userinfo(_FLAG_AND_VALUE.sub(rf"\1{MASK}", _PAIR.sub(rf"\1{MASK}", argument)))


def is_secret_flag(argument: str) -> bool:
    """Return whether this is a flag whose value, the next argument, is a secret."""
    return _FLAG.fullmatch(argument) is not None


def is_secret_name(name: str) -> bool:
    """Return whether a value of this name is a secret."""
    return _NAME.fullmatch(name) is not None


def find_credential(url: str) -> str | None:
    """Return the name of the first parameter, in the query or fragment of an address, that contains a credential."""
    for part in re.split(r"[?&;#]", url)[1:]:
        name = unquote_plus(part.partition("=")[0])
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
        if is_secret_name(re.sub(r"[^\w-]", "_", name)) or not _CREDENTIAL_WORDS.isdisjoint(map(str.lower, words)):
            return name
    return None


def mask_userinfo(text: str) -> str:
    """Return the text with the `user:password@` of each address masked."""
    return _USERINFO.sub(f"{MASK}@", text) if "://" in text else text


def has_userinfo(text: str) -> bool:
    """Return whether an address in the text has a `user:password@` that is not masked."""
    return any(found[0] != f"{MASK}@" for found in _USERINFO.finditer(text))


def noted_secrets(text: str, most: int) -> list[str]:
    """Return the values in a text that are named as secrets (`password=…`), at most `most` of them."""
    return [found[2].strip("\"'") for found in islice(_NOTE.finditer(text), most)]


def mask_secrets(text: str, known: Sequence[str] = ()) -> str:
    """Return a text with the known secrets masked, and everything that looks like one."""
    for secret in known:
        text = text.replace(secret, MASK)
    return mask_userinfo(_KEY.sub(MASK, _NOTE.sub(rf"\1{MASK}", text)))
