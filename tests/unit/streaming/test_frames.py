from api.streaming.frames import Frame, closing_frame
from api.streaming.models import MessageType, StreamEnding


def test_message_is_an_event_without_a_name():
    frame = Frame(MessageType.STATUS, b'{"a":1}', "7")
    assert frame.event == b'id: 7\ndata: {"a":1}\n\n'


def test_end_and_closing_are_named_events():
    assert Frame(MessageType.END, b"{}", "7").event == b"event: end\nid: 7\ndata: {}\n\n"
    assert closing_frame(StreamEnding.TOO_SLOW).event.startswith(b"event: closing\ndata: {")


def test_web_socket_message_has_the_id_as_a_field():
    assert Frame(MessageType.STATUS, b'{"a":1}', "7").text == '{"id":"7","a":1}'


def test_message_without_an_id_shows_none():
    frame = Frame(MessageType.PARTIAL, b'{"a":1}')
    assert (frame.event, frame.text) == (b'data: {"a":1}\n\n', '{"a":1}')


def test_hidden_id_is_only_in_the_event():
    frame = Frame(MessageType.SNAPSHOT, b"{}", "7", shows_id=False)
    assert (frame.event, frame.text) == (b"id: 7\ndata: {}\n\n", "{}")


def test_message_is_encoded_once_for_all():
    frame = Frame(MessageType.STATUS, b"{}", "7")
    assert frame.event is frame.event
    assert frame.text is frame.text
