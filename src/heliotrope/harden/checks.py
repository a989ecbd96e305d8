"""The plug-in of what hardens: importing it registers it."""

from heliotrope.harden.network_check import harden_network

__all__ = ["harden_network"]
