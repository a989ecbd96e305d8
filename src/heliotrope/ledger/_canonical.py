"""Canonical JSON of what is appended."""

from heliotrope.core.records import canonical_bytes as canonical

__all__ = ["canonical"]
