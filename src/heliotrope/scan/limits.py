"""How much of a file is looked at. Limits count bytes, opcodes, members and depth, never time: the verdict stays reproducible."""

from dataclasses import dataclass

__all__ = ["Budget", "ScanLimits"]

MIB = 2**20


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """Where the inspection of one file stops. Reaching a limit is a finding, and the verdict is at least incomplete."""

    max_opcodes: int = 64_000_000
    """Steps of the pickle machine in all streams of a file, a quarter of a minute's work. Runs of one constant and repetitions
    without effect count once. Weights are raw bytes, so models have under 100,000; a cache of small objects has millions."""
    max_events: int = 4_000_000
    """Imports, calls, states and changed objects of one stream, at some microseconds each. A list of a million dates has as many."""
    max_stack: int = 12_000_000
    """Entries of the pickle machine's stack, at 8 bytes each. Picklers batch by 1,000; only a huge tuple needs more."""
    max_memo: int = 8_000_000
    """Entries of the pickle machine's memo, at 8 bytes each."""
    max_sparse_memo: int = 200_000
    """Memo entries written out of order, which no pickler does, at about 150 bytes each."""
    max_globals: int = 5_000
    """Different imports of one stream. A full model of a large library has some hundred."""
    max_name: int = 1_000
    """Characters of an imported name. Longer ones are no Python names."""
    max_streams: int = 10_000
    """Pickles one after another in one file; torch's old format has five."""
    max_candidates: int = 400_000
    """Places in trailing data that look like the start of a pickle: random bytes have one in 16 KiB, so 6 GiB of them."""
    max_members: int = 100_000
    """Members of an archive; the largest published checkpoints have about 10,000 tensors per file."""
    max_directory_bytes: int = 32 * MIB
    """Central directory of a zip file, read in one piece: 320 bytes for each of the members allowed."""
    max_inflated_bytes: int = 512 * MIB
    """Bytes decompressed from one file. Weights are stored or skipped; what must be inflated is small."""
    max_unpacked_bytes: int = 4 * 2**30
    """Size of what a compressed file unpacks to. It is unpacked twice, at about a gigabyte a second, and mostly passed over."""
    max_ratio: int = 300
    """Decompressed over compressed size of a member that must be inflated; pickles reach 20, zeros 1,030."""
    ratio_grace_bytes: int = 16 * MIB
    """A member may exceed the ratio up to here: a small bomb harms nobody."""
    max_depth: int = 4
    """Files within files: zip in zip, pickle in npy in npz, tensors stored as bytes in a pickle."""
    max_safetensors_header: int = 6 * MIB
    """Its JSON takes up to thirty times the space when parsed. 45,000 tensors fit; the format's own limit is 100 MB."""
    max_protobuf_fields: int = 10_000_000
    """Fields of a protocol buffer, some seconds of work; lists of numbers count once. Models have under a million."""
    max_skops_schema: int = 12 * MIB
    """Its JSON takes about ten times the space when parsed. A forest of 500 trees has 5 MB."""
    max_npy_header: int = 10_000
    """What numpy itself accepts by default."""
    max_findings: int = 500
    """Different (rule, global) pairs of one file."""
    max_locations: int = 5
    """Places shown of each finding; the others are counted."""
    max_hashed_bytes: int = 256 * 2**30
    """Files above this are not read at all."""


@dataclass(slots=True)
class Budget:
    """What is left for one file."""

    opcodes: int
    inflated: int
    members: int
    candidates: int

    @classmethod
    def of(cls, limits: ScanLimits) -> "Budget":
        return cls(limits.max_opcodes, limits.max_inflated_bytes, limits.max_members, limits.max_candidates)
