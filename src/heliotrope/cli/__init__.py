"""The command line: one module per command, imported when it is used."""

from heliotrope.cli._main import main

__all__ = ["main"]
