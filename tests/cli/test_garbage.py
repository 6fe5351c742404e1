"""Python's search for garbage: put off while a command loads, and back for a server that goes on for days."""

import gc

from letterwise.cli import garbage


def test_it_is_put_off_and_comes_back() -> None:
    before = gc.get_threshold()
    garbage.look_again()  # of commands that ran in this process
    usual = gc.get_threshold()
    try:
        garbage.leave_be()
        assert gc.get_threshold()[0] == garbage.LOADED
        garbage.leave_be()  # once is enough
        garbage.look_again()
        assert gc.get_threshold() == usual
        garbage.leave_be()
        gc.collect()  # and Python's own first search ends it, too
        assert gc.get_threshold() == usual
    finally:
        gc.set_threshold(*before)
