"""Turning whatever a check raises into an outcome: the same rules inline and in a worker."""

from heliotrope.core.errors import HeliotropeError, InternalError, MissingExtraError
from heliotrope.core.outcomes import Errored, Inconclusive, Skipped
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import CheckFunction, RunContext, Task

__all__ = ["RunCancelledError", "guarded"]


class RunCancelledError(Exception):
    """The person or the program above asked to stop."""


def guarded(function: CheckFunction, task: Task, context: RunContext) -> CheckResult:  # noqa: PLR0911 - one return for each way to end
    """Call a check; an error that names what is missing is inconclusive, any other is an error outcome."""
    try:
        return function(task, context)
    except RunCancelledError:
        return CheckResult(outcome=Errored(kind="cancelled", reason="cancelled before it finished"))
    except MissingExtraError as error:
        return CheckResult(outcome=Skipped(code="missing_extra", reason=error.reason()))
    except InternalError as error:
        return CheckResult(outcome=Errored(kind="exception", reason=error.reason()))
    except HeliotropeError as error:
        return CheckResult(outcome=Inconclusive(reason=error.reason()))
    except MemoryError:
        return CheckResult(outcome=Errored(kind="memory", reason="the check ran out of memory"))
    except SystemExit as error:
        return CheckResult(outcome=Errored(kind="exception", reason=f"it called sys.exit({error.code!r})"))
    except Exception as error:  # noqa: BLE001 - a broken check must not take the others with it
        return CheckResult(outcome=Errored(kind="exception", reason=f"{type(error).__name__}: {error}"))
