"""A file that is created while it is sent."""

from collections.abc import Iterator

from api.util.files.stored_form import StreamedFile


def test_parts_are_returned_in_order():
    file = StreamedFile("x", "text/plain", iter([b"a", b"b"]))
    assert [file.next_part() for _ in range(3)] == [b"a", b"b", None]
    file.close()


def test_closing_releases_the_generator():
    ended: list[str] = []

    def make() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            ended.append("ended")

    file = StreamedFile("x", "text/plain", make())
    assert file.next_part() == b"a"
    file.close()
    assert ended == ["ended"]
