"""The port through which loaders ask whether bytes may be loaded. The scanner answers; loaders lie below and never import it."""

from collections.abc import Callable

from heliotrope.core.clearances import Clearance
from heliotrope.core.errors import InternalError
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable
from heliotrope.engine.registry import unavailable

__all__ = ["Clearer", "clear", "clearer"]

Clearer = Callable[[bytes, str], Clearance]
"""Bytes and the name of the file they come from in; a clearance out, or InputError that says why there is none."""

_registered: list[Clearer] = []


def clearer(function: Clearer) -> Clearer:
    """Register the function that gives clearances. There is one; a second is an error, so that no plug-in can vouch for it."""
    if _registered and _registered[0].__module__ != function.__module__:
        raise InternalError(
            f"two plug-ins give clearances: {_registered[0].__module__} and {function.__module__}; only one may"
        )
    _registered[:] = [function]
    return function


def clear(data: bytes, name: str) -> Clearance:
    """The clearance of exactly these bytes, for a worker that is about to load them.

    `name` is the file's name: its ending is a hint for the scanner, and it stands in errors. Raises InputError unless
    the verdict is clean, with the verdict, the first finding and what to do; InternalError when no scanner is registered.
    """
    failed = unavailable()
    if not _registered:
        why = "; ".join(f"{item.name}: {item.reason}" for item in failed)
        raise InternalError("no plug-in gives clearances, so nothing that could run code is loaded", hint=why)
    clearance = _registered[0](data, name)
    if clearance.sha256 != sha256_hex(data):
        raise InternalError(f"{printable(name)}: the clearance is about other bytes than those that were asked about")
    return clearance
