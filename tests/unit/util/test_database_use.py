from contextvars import copy_context

from api.util.database_use import Use, current_use, note_read, note_write


def noted() -> Use:
    use = Use()
    current_use.set(use)
    note_read()
    return use


def test_what_was_done_is_noted_for_who_asks():
    use = copy_context().run(noted)
    assert (use.has_read, use.has_written) == (True, False)

    def write() -> Use:
        current_use.set(use)
        note_write()
        return use

    assert copy_context().run(write).has_written


def test_where_nobody_asks_nothing_is_noted():
    assert current_use.get() is None
    note_read()
    note_write()
    assert current_use.get() is None
