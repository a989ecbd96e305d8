"""The plug-in of what hardens: importing it registers it."""

from heliotrope.harden.network_check import harden_network
from heliotrope.harden.table_check import harden_table

__all__ = ["harden_network", "harden_table"]
