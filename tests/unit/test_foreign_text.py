"""Output of programs is parsed in linear time: 64 KiB of the worst input take no longer than any other 64 KiB."""

import time
from collections.abc import Callable, Iterator

import pytest

from api.domain.finding import shown
from api.domain.tasks.training import TrainingPlan
from api.errors import InvalidPattern
from api.executors.attempt.output_scanner import OutputScanner
from api.gpus.sources.boards import parse_boards
from api.logs.search import LogPattern
from api.logs.server_log import ServerLines
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.toml_parsing import parse
from api.trainers.environment import check_env, split_secrets
from api.trainers.failures.diagnosis import diagnose
from api.trainers.failures.hints import hint_for
from api.trainers.media import MediaInfoCache, is_video
from api.trainers.protocol.error_lines import find_errors
from api.trainers.protocol.log_lines import LineClassifier
from api.trainers.protocol.output import OutputReader
from api.trainers.toml_text import mask_comments, text_excess
from api.trainers.toy.settings import read_dataset
from api.trainers.trainer import Ending
from api.util.text.formatting import shorten_command
from api.util.text.masking import has_userinfo, mask_secrets, mask_userinfo
from api.util.text.terminal_text import clean
from tests.lengths import IN_FULL

SIZE = 64 * 1024

#: Maximum CPU time of one parser for 64 KiB.
LIMIT_SECONDS = 0.050

#: Of the letters, digits and bytes above ASCII, a parser treats many alike.
ALIKE = frozenset(b"bcdfghijklmoqruvwyzBCDFGHIJKLMNOPQRSUVWXYZ2345678") | frozenset(range(0x81, 0xFF))

PARTS = (
    *(bytes([value]) for value in range(256) if IN_FULL or value not in ALIKE),
    # unterminated terminal sequences, also as C1 controls
    *(f"{chr(control)}".encode() for control in range(0x80, 0xA0)),
    *(b"\x1b[", b"\x1b]", b"\x1bP", b"\x1bX", b"\x1b^", b"\x1b_", b"\x1b[1;", b"\x1b(", b"\x1b ", b"\x1b\\"),
    *(b"\x1b\x1b", b"\x1b]\x1bP", b"\xc2\x90\x1b", b"\xc2\x9d\x07", b"\xc2\x90\xc2\x9d"),
    *(b"\x1b]a\xc2\x90b", b"\x1b[\x1b]\xc2\x9b"),
    # incomplete UTF-8 characters
    *(b"\xc2", b"\xe2\x82", b"\xf0\x9f\x92", b"\xed\xa0\x80"),
    # names of secrets, flags, pairs
    *(b"token", b"token-", b"--token", b"--token ", b"token=", b"api_key", b"passwd", b"secretsecret=", b"--", b"- "),
    *(b"token ", b"token \t", b'token="', b"token='", b"://a@", b"a://b", b"sk-", b"hf_", b"0a", b"# "),
    *(b"=", b"%", b"|", b":", b"://", b"a@", b"://a:", b"1e", b"1e9 ", b"1.", b"+-", b"\\\\", b"\\A"),
    # beginnings of a trainer's lines, without their ends
    *(b"step=", b"] step=", b"] step=1, skipped=1, lr=", b"steps: ", b"\nsteps: ", b"\rsteps: ", b"steps: 1 loss: "),
    *(b"\nsteps: \rsteps: ", b"[a] ", b"[[", b"[WARNING]", b"[rank0]: ", b"Traceback (most recent call last)"),
    *(b"Error", b"a.Error", b"a.", b"aError.", b"x: error: ", b"FileExistsError: ", b"NotImplementedError: "),
    *(b"ImportError: '", b"/dev/shm", b"shared memory", b"Unable to find ", b"wait timeout after 1", b"TRAINING "),
    *(b"Cuda failure 1", b"exits with return code = ", b'{"time":"', b"2026-", b"global_step1", b"Saved global_step"),
    # unterminated TOML
    *(b"a.", b'"a".', b"a=[", b"a={", b"[a", b"[[a]]\n", b'"""', b"'''", b'\\"""', b"#\n", b"a=1\n", b"a=1,"),
    *(b"GB ", b"1 GB", b"4x ", b"\n", b"\r\n", b" \n", b"\t ", b"a b", b'"\'', b"()[]{}", b"a\r", b'["', b"[],"),
)  # fmt: skip


def read_output(raw: bytes) -> None:
    reader = OutputReader(TrainingPlan("toy", "toy", 1), "TRAINING COMPLETE!", "Manually quitting")
    for line in lines_of(raw):
        reader.read(line, 0.0)


def classify(raw: bytes) -> None:
    reader = LineClassifier()
    for line in lines_of(raw):
        reader.read(line)


def scan(raw: bytes) -> None:
    scanner = OutputScanner(["TRAINING COMPLETE!"], "steps: ")
    scanner.feed(raw)
    scanner.finish()


def diagnose_lines(raw: bytes) -> None:
    lines = lines_of(raw)[-200:]
    diagnose(Ending(1, None, False, frozenset(), ["Traceback (most recent call last):", *lines]), "Manually quitting")
    # The message of an exception is parsed in the same way.
    diagnose(Ending(1, None, False, frozenset(), [f"Traceback (most recent call last)\nX: {lines[0]}"]), "quitting")


def search(raw: bytes) -> None:
    pattern = LogPattern("a.*b|token", is_regex=True, ignore_case=True)
    pattern.find(raw, 0, len(raw))
    try:
        LogPattern(text_of(raw)[:1000], is_regex=True, ignore_case=False)
    except InvalidPattern:
        return


def boards(raw: bytes) -> None:
    try:
        parse_boards(text_of(raw))
    except ValueError:
        return


def text_of(raw: bytes) -> str:
    return raw.decode(errors="replace")


def lines_of(raw: bytes) -> list[str]:
    return text_of(raw).replace("\r", "\n").split("\n")


READERS: dict[str, Callable[[bytes], object]] = {
    "clean": clean,
    "clean, many lines": lambda raw: [clean(line) for line in raw.split(b"\n")],
    "command line, one argument": lambda raw: shorten_command([text_of(raw)]),
    "command line, second argument": lambda raw: shorten_command(["python", text_of(raw)]),
    "command line, many arguments": lambda raw: shorten_command(text_of(raw).split(" ")),
    "command line, nothing but empty arguments": lambda raw: shorten_command([""] * len(raw)),
    "output": read_output,
    "log lines": classify,
    "the server's own log lines": lambda raw: ServerLines().read(text_of(raw)),
    "scanner": scan,
    "errors": lambda raw: find_errors(lines_of(raw)[-200:]),
    "diagnosis": diagnose_lines,
    "hints": lambda raw: hint_for(text_of(raw)),
    "environment": lambda raw: check_env({text_of(raw): "1", "HF_X": text_of(raw)}),
    "environment, secrets": lambda raw: split_secrets({text_of(raw): ""}),
    "pointers": lambda raw: shown(text_of(raw)),
    "media names": lambda raw: is_video(text_of(raw)),
    "boards": boards,
    "search": search,
    "TOML of diffusion-pipe": lambda raw: parse(text_of(raw), "", Findings()),
    "TOML text in diffusion-pipe": lambda raw: parse(f"a = '''{text_of(raw)}'''", "", Findings()),
    "TOML of the toy": lambda raw: read_dataset({}, text_of(raw), MediaInfoCache()),
    "secrets in notes": lambda raw: mask_secrets(text_of(raw)),
    "secrets in comments": lambda raw: mask_comments(text_of(raw), mask_secrets),
    "secrets in one comment": lambda raw: mask_comments("#" + text_of(raw), mask_secrets),
    "passwords in addresses": lambda raw: (mask_userinfo(text_of(raw)), has_userinfo(text_of(raw))),
    "bounds of TOML": lambda raw: text_excess(text_of(raw)),
}  # fmt: skip


def hostile_texts() -> Iterator[bytes]:
    for part in PARTS:
        yield (part * (SIZE // len(part) + 1))[:SIZE]
        if len(part) > 1:
            yield (b"x" + part * (SIZE // len(part)))[:SIZE]


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_64_kib_of_any_text_take_less_than_50_ms(name: str):
    read = READERS[name]
    read(b"warm")
    # A busy machine may be slow once, but a slow parser is slow again.
    slow = [raw[:40] for raw in hostile_texts() if all(cpu_seconds(read, raw) > LIMIT_SECONDS for _ in range(3))]
    assert slow == []


def cpu_seconds(read: Callable[[bytes], object], raw: bytes) -> float:
    began = time.thread_time()
    read(raw)
    return time.thread_time() - began
