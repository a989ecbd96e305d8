"""The types of this room."""

from heliotrope.core.records import Record

__all__ = ["InventoryParameters"]


class InventoryParameters(Record):
    """What to take an inventory of."""

    paths: tuple[str, ...] = (".",)
    """Files and folders, relative to the project folder."""
