"""The hash chain: what the bytes of an event are, and how each one commits to all before it."""

import hashlib
import json
import re
from json.encoder import encode_basestring as _quote

from heliotrope.core.errors import LedgerError
from heliotrope.core.events import event_type
from heliotrope.core.records import MAX_SAFE_INTEGER, Sha256, sha256_hex
from heliotrope.core.text import printable, shorten
from heliotrope.ledger.interface import MAX_KEY_VALUE, MAX_KEYS, Entry

__all__ = ["DOMAIN", "claim", "encode", "indexed", "link", "normalise_keys"]

DOMAIN = b"heliotrope ledger chain v1\x00"
"""Domain separator: a hash of this chain is a hash of nothing else."""

_KEY_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


def encode(
    *,
    source: str,
    sequence: int,
    record_id: str,
    time: str,
    kind: str,
    content_id: str,
    size: int,
    keys: list[tuple[str, str]],
    previous: str,
) -> bytes:
    """The canonical bytes of an event: ASCII names, strings and integers, in the order of RFC 8785."""
    pairs = ",".join([f"[{_quote(name)},{_quote(value)}]" for name, value in keys])
    return (
        f'{{"data":{{"content_id":{_quote(content_id)},"keys":[{pairs}],"kind":{_quote(kind)},'
        f'"previous":{_quote(previous)},"sequence":{sequence:d},"size":{size:d}}},'
        f'"datacontenttype":"application/json","id":{_quote(record_id)},"source":{_quote(source)},'
        f'"specversion":"1.0","time":{_quote(time)},"type":{_quote(event_type(kind))}}}'
    ).encode()


def link(previous: str, body: bytes) -> Sha256:
    """SHA-256 over domain separator, previous hash (32 bytes) and body."""
    return hashlib.sha256(DOMAIN + bytes.fromhex(previous) + body).hexdigest()


def claim(body: object, digest: object) -> tuple[int, str] | None:
    """The (sequence, previous hash) an event claims for itself, if its bytes and its hash belong together."""
    try:
        if not isinstance(body, bytes):
            return None
        data = json.loads(body)["data"]
        sequence, previous = data["sequence"], data["previous"]
        if type(sequence) is not int or abs(sequence) > MAX_SAFE_INTEGER or not isinstance(previous, str):
            return None
        if link(previous, body) == digest:
            return sequence, previous
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return None


def normalise_keys(entry: Entry) -> list[tuple[str, str]]:
    """Sorted, without doubles, long values folded; LedgerError for what cannot be a key."""
    keys = sorted({indexed(name, value) for name, value in entry.keys})
    if len(keys) > MAX_KEYS:
        raise LedgerError(
            f"a record of kind {entry.kind!r} has {len(keys)} look-up keys; at most {MAX_KEYS} are possible",
            hint="keep the list in the content and index what it is looked up by",
        )
    return keys


def indexed(name: str, value: str) -> tuple[str, str]:
    """A key as the index holds it: a long value as its digest. LedgerError for what cannot be a key."""
    try:
        raw = value.encode()
        if _KEY_NAME.fullmatch(name) and raw and b"\x00" not in raw:
            return name, value if len(raw) <= MAX_KEY_VALUE else f"sha256:{sha256_hex(raw)}"
    except UnicodeEncodeError:
        pass
    raise LedgerError(
        f"({shorten(printable(name), 80)!r}, {shorten(printable(value), 80)!r}) cannot be a look-up key",
        hint="names are lower case ASCII; values are text that is valid UTF-8, not empty and without NUL",
    )
