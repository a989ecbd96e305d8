"""What a loader needs before it touches a file that could run code."""

from heliotrope.core.records import Record, Sha256

__all__ = ["Clearance"]


class Clearance(Record):
    """These bytes were judged clean by this scanner under this policy, and load with nothing but these globals.

    It is about bytes, not about a name: whoever holds other bytes holds no clearance.
    """

    sha256: Sha256
    size: int
    """Bytes."""
    format: str
    """As the scanner names it: pickle, joblib, joblib-zlib, skops, onnx, …"""
    scanner_version: str
    policy_digest: Sha256
    globals: tuple[str, ...] = ()
    """What the file imports, as module.name, sorted; each of them is allowed by the policy in the way the file uses it."""
