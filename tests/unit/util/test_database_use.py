from contextvars import copy_context

from api.util.database_use import Use, current_use, note_read, note_write


def noted() -> Use:
    use = Use()
    current_use.set(use)
    note_read()
    return use


def test_use_is_recorded_if_requested():
    use = copy_context().run(noted)
    assert (use.has_read, use.has_written) == (True, False)

    def write() -> Use:
        current_use.set(use)
        note_write()
        return use

    assert copy_context().run(write).has_written


def test_use_is_not_recorded_by_default():
    assert current_use.get() is None
    note_read()
    note_write()
    assert current_use.get() is None
