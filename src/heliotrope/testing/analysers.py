"""Scanning samples with an analyser of a plug-in, and the contract that every analyser keeps."""

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heliotrope.core.predicates.scan import FileReport, ScanVerdict
from heliotrope.scan._service import scan_targets
from heliotrope.scan.collector import Collector
from heliotrope.scan.inspecting import Target
from heliotrope.scan.interface import Context, LimitReachedError, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.registry import AnalyserDescriptor, enable

__all__ = ["Sample", "assert_analyser_contract", "scan_sample"]

MAX_READ = 16 * 2**20
"""Bytes an analyser may ask for at once: a file of any size must fit through a few megabytes of memory."""

_MAX_TOTAL = 64 * 2**20
"""Bytes handed out of the endless file before it breaks off."""

_FOREIGN = (
    b"",
    b"\0",
    b"\x80\x02}.",
    b"PK\x05\x06" + 18 * b"\0",
    b"\x93NUMPY\x01\0\x10\0{'descr': '<f4'}",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"just a line of text\n",
    b"\xff\xfe\xfd" * 11,
)
"""What an analyser of anything else must not take."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, and what the scanner with the analyser must say of it."""

    name: str
    data: bytes
    verdict: ScanVerdict
    rules: frozenset[str] = frozenset()
    """Every rule that must be noted; of the analyser's own, no other may be."""


def scan_sample(analyser_id: str, name: str, data: bytes) -> FileReport:
    """What `helio scan --analyser ID NAME` says of these bytes."""
    with tempfile.TemporaryDirectory(prefix="heliotrope-sample-") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return scan_targets([Target(path, name, named=True)], analysers=enable([analyser_id])).files[0]


def assert_analyser_contract(analyser_id: str, samples: Sequence[Sample]) -> None:
    """Hold a registered analyser to what every analyser promises.

    It says of each sample what is expected, and the same again; every rule of it is noted for one sample and not for
    another; it takes no bytes of foreign formats; samples cut short or damaged make it neither raise nor return nonsense;
    and it reads a file without end in pieces of at most 16 MiB.
    """
    (descriptor,) = enable([analyser_id]).descriptors
    own = {rule.id for rule in descriptor.rules}
    for sample in samples:
        report = scan_sample(analyser_id, sample.name, sample.data)
        noted = {finding.rule for finding in report.findings}
        _require(report.verdict == sample.verdict, f"{sample.name}: {report.verdict}, not {sample.verdict}: {report}")
        _require(sample.rules <= noted, f"{sample.name}: {sorted(sample.rules - noted)} not noted: {report}")
        _require(noted & own <= sample.rules, f"{sample.name}: {sorted(noted & own - sample.rules)} noted: {report}")
        _require(
            report.format in {*descriptor.formats, *descriptor.refines}, f"{sample.name}: taken for {report.format}"
        )
        _require_sound(descriptor, sample.name, report)
        again = scan_sample(analyser_id, sample.name, sample.data)
        _require(again == report, f"{sample.name}: another answer the second time")
    _require(any(sample.verdict == "clean" for sample in samples), f"{analyser_id}: there is no clean sample")
    for rule in own:
        count = sum(rule in sample.rules for sample in samples)
        _require(0 < count < len(samples), f"{rule}: one sample must break it and another must not")
    for data in _FOREIGN:
        _require(not descriptor.factory().accepts(_Bytes(data), "file"), f"{analyser_id} takes {data[:20]!r}")
    for sample in samples:
        for data in _damaged(sample.data):
            _require_sound(descriptor, sample.name, scan_sample(analyser_id, sample.name, data))
        _require_bounded(descriptor, sample)


def _require_sound(descriptor: AnalyserDescriptor, name: str, report: FileReport) -> None:
    faults = [item.reason for item in report.incomplete if item.reason.startswith(f"analyser {descriptor.id} ")]
    _require(not faults, f"{name}: {'; '.join(faults)}")


def _damaged(data: bytes) -> Iterator[bytes]:
    """The same every time: cut short at 16 places, and 32 times with a byte changed."""
    chosen = random.Random(0)  # noqa: S311 - nothing secret about it
    for part in range(16):
        yield data[: len(data) * part // 16]
    for _ in range(32 if data else 0):
        changed = bytearray(data)
        changed[chosen.randrange(len(changed))] = chosen.randrange(256)
        yield bytes(changed)


def _require_bounded(descriptor: AnalyserDescriptor, sample: Sample) -> None:
    source = _Endless(sample.data)
    limits = ScanLimits()
    notes = Collector(sample.name, limits, rules=descriptor.rules)
    context = Context(notes, limits, Budget.of(limits), lambda *_: None)
    analyser = descriptor.factory()
    try:
        if analyser.accepts(source, sample.name):
            analyser.analyse(source, sample.name, context)
    except (LimitReachedError, UnreadableError):
        pass
    _require(source.largest <= MAX_READ, f"{sample.name}: {source.largest} bytes are read at once")


@dataclass(slots=True)
class _Bytes:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


@dataclass(slots=True)
class _Endless:
    """A sample followed by a pebibyte of nothing, which cannot be read to its end."""

    data: bytes
    size: int = 2**50
    largest: int = 0
    total: int = 0

    def read(self, offset: int, length: int) -> bytes:
        length = max(min(length, self.size - offset), 0)
        self.largest = max(self.largest, length)
        self.total += length
        if self.total > _MAX_TOTAL or length > MAX_READ:
            raise UnreadableError("cannot be read any further")
        head = self.data[offset : offset + length]
        return head + bytes(length - len(head))


def _require(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)
