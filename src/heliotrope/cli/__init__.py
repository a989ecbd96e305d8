"""The command line: one module per command, imported when it is used."""

import os

# pydantic imports plug-ins of whatever is installed into the process that uses it. Ours inspects hostile files and decides:
# no code takes part that nobody named, and a scan's result must not depend on what is installed.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"

from heliotrope.cli._main import main

__all__ = ["main"]
