"""Processes that end in the middle: at a moment from outside, or at a step of their own."""

import os
import signal
import sys

import hypothesis

__all__ = ["child", "count_steps", "ends_at_step"]


def child(work):
    """Fork; the child does its work, telling over a pipe what was acknowledged, and never returns here."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.close(reader)
            work(lambda text: os.write(writer, text.encode()))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    return process, reader


def count_steps(work):
    """How many steps the work takes, as `ends_at_step` counts them."""

    def counted(say):
        steps = _Steps(None)
        with steps:
            work(lambda _: None)
        say(str(steps.taken))

    process, reader = child(counted)
    with os.fdopen(reader) as told:
        text = told.read()
    assert os.waitpid(process, 0)[1] == 0, "the work fails without being killed, too"
    return int(text)


def ends_at_step(work, step):
    """Do the work in a process that kills itself at that step; what it said before."""

    def doomed(say):
        with _Steps(step):
            work(say)

    process, reader = child(doomed)
    with os.fdopen(reader) as told:
        text = told.read()
    status = os.waitpid(process, 0)[1]
    if not os.WIFSIGNALED(status):  # this time the work took fewer steps than when they were counted
        assert os.WEXITSTATUS(status) == 0
        hypothesis.reject()
    assert os.WTERMSIG(status) == signal.SIGKILL
    return text


class _Steps:
    """Counts lines of the ledger's code, and statements and commits before and after they reach the database."""

    def __init__(self, last):
        self.taken = 0
        self._last = last

    def __enter__(self):
        import sqlalchemy as sa

        for name in ("before_cursor_execute", "after_cursor_execute", "begin", "commit", "rollback"):
            sa.event.listen(sa.engine.Engine, name, self._tick)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def _trace(self, frame, event, _):
        if "/heliotrope/ledger/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self._tick()
        return self._trace

    def _tick(self, *_):
        self.taken += 1
        if self.taken == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
