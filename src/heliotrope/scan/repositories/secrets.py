"""Keys and tokens left in text. They are never shown: only what they are, and their first characters."""

import math
import re
from collections import Counter

from heliotrope.scan.interface import Context

__all__ = ["check_secrets"]

_KINDS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("an AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a Hugging Face token", re.compile(rb"\bhf_[A-Za-z0-9]{34,40}\b")),
    ("an OpenAI key", re.compile(rb"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,200}\b")),
    ("an Anthropic key", re.compile(rb"\bsk-ant-[A-Za-z0-9_-]{24,200}\b")),
    ("a GitHub token", re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b")),
    ("a GitLab token", re.compile(rb"\bglpat-[A-Za-z0-9_-]{20,64}\b")),
    ("a Slack token", re.compile(rb"\bxox[abeoprs]-[A-Za-z0-9-]{20,250}\b")),
    ("a Google key", re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("a Weights & Biases key", re.compile(rb"WANDB_API_KEY\W{1,6}([0-9a-f]{40})\b")),
)
_HINTS = (b"AKIA", b"ASIA", b"hf_", b"sk-", b"gh", b"glpat-", b"xox", b"AIza", b"WANDB_API_KEY", b"PRIVATE KEY")
_PRIVATE = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,2}PRIVATE KEY-----(?:\\{1,2}[nr]|[\s\"',]){1,12}(?:[A-Za-z-]{3,20}: [^\n\\:]{1,80}(?:\\{1,2}n|\n){1,2})*+"
    rb"([A-Za-z0-9+/]{40,})"
)
_EXAMPLE = re.compile(rb"EXAMPLE|example|your|YOUR|x{5}|X{5}|1234567|abcdef|ABCDEF|dummy|fake|placeholder|\.\.\.")
_ENOUGH_BITS = 3.0
"""Bits a character: random letters and digits have above 4 in 36 characters, words and repetitions below 3."""
_SHOWN = 6


def check_secrets(data: bytes, context: Context) -> None:
    """Note what looks like a secret and is random enough to be one."""
    if not any(hint in data for hint in _HINTS):
        return
    for what, pattern in _KINDS:
        for match in pattern.finditer(data):
            text = match[1] if pattern.groups else match[0]
            if what == "an OpenAI key" and text.startswith(b"sk-ant-"):
                continue
            if _is_random(text):
                _note(what, text, match.start(), context)
    for match in _PRIVATE.finditer(data):
        if _is_random(match[1][:200]):
            _note("a private key", b"-----", match.start(), context)


def _is_random(text: bytes) -> bool:
    """Whether a secret may be behind it: no example, with the entropy of chance, with digits and letters."""
    body = text.split(b"_", 1)[-1] if text.startswith((b"hf_", b"gh")) else text
    if _EXAMPLE.search(text) or not any(48 <= byte < 58 for byte in text):
        return False
    counts = Counter(body)
    bits = -sum(count / len(body) * math.log2(count / len(body)) for count in counts.values())
    return bits >= _ENOUGH_BITS


def _note(what: str, text: bytes, offset: int, context: Context) -> None:
    shown = text[:_SHOWN].decode("ascii", "replace")
    message = f"holds {what} ({shown}…, {len(text)} characters)" if what != "a private key" else f"holds {what}"
    context.notes.add("config-secret", message, key=f"{what} {shown}", member=context.member, offset=offset)
