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
    max_events: int = 3_200_000
    """Imports, calls, states and changed objects of one stream, at some microseconds each. A list of three million dates fits."""
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
    max_seven_zip_bytes: int = 512 * MIB
    """A 7z archive, and what it unpacks to on disk in a worker, where it is asked for."""
    max_tar_extension: int = MIB
    """Extended header of one tar member: names and times. Systems allow 4 KiB for a name."""
    max_inflated_bytes: int = 512 * MIB
    """Unpacked bytes that are interpreted, over all of a file. Arrays are unpacked and passed over, which does not count."""
    max_unpacked_bytes: int = 2 * 2**30
    """Bytes a file may unpack to in all passes, two mostly: some seconds of work. Bombs end here, whatever their ratio."""
    unpacked_per_byte: int = 20
    """A larger file may unpack to this many times its own size: no more work for each byte than compressed weights are."""
    max_packed_streams: int = 100_000
    """Compressed streams one after another; block-wise writers put 64 KiB into each."""
    max_decoder_memory: int = 68 * MIB
    """Memory to unpack one stream; lzma's highest preset takes 65 MiB."""
    max_inner_decoder_memory: int = 9 * MIB
    """The same for streams deeper than one level, since all levels are open at once; the usual presets take this much."""
    max_depth: int = 4
    """Files within files: zip in zip, pickle in npy in npz, tensors stored as bytes in a pickle."""
    max_safetensors_header: int = 6 * MIB
    """Its JSON takes up to thirty times the space when parsed. 45,000 tensors fit; the format's own limit is 100 MB."""
    max_protobuf_fields: int = 10_000_000
    """Fields of a protocol buffer, some seconds of work; lists of numbers count once. Models have under a million."""
    max_skops_schema: int = 12 * MIB
    """Its JSON takes about ten times the space when parsed. A forest of 500 trees has 5 MB."""
    max_keras_config: int = 5 * MIB
    """A configuration's JSON takes up to twenty-five times the space when parsed. The largest of keras.applications have 1 MB."""
    max_keras_depth: int = 200
    """Brackets within brackets of a configuration; a model in a model adds five."""
    max_hdf5_steps: int = 2_000_000
    """Structures of an HDF5 file, some ten seconds of work; a model of a thousand layers has 50,000."""
    max_hdf5_objects: int = 200_000
    """Groups and datasets of an HDF5 file; a model of a thousand layers has 20,000."""
    max_hdf5_attribute: int = 16 * MIB
    """Text of one attribute. Keras keeps a whole configuration in one; others have some kilobytes."""
    max_source_bytes: int = 4 * MIB
    """One file of TorchScript or Python source, read as a whole. The largest traced models have 3 MB."""
    max_description_bytes: int = 2 * MIB
    """A description in YAML, of which every value becomes an event. They have some kilobytes, with long signatures a hundred."""
    max_msgpack_items: int = 5_000_000
    """Values of a MessagePack file, some seconds of work; parameters are arrays, which count once."""
    max_npy_header: int = 10_000
    """What numpy itself accepts by default."""
    max_gguf_items: int = 20_000_000
    """Values of a GGUF header, some seconds of work; a name that is kept counts as 50. A vocabulary has under a million."""
    max_gguf_name: int = 65_535
    """Bytes of a metadata key or a tensor's name: the format's own limit for keys."""
    max_gguf_depth: int = 4
    """Arrays within arrays in GGUF metadata; none are published."""
    max_template: int = 256 * 1024
    """Bytes of a chat template. Published ones stay below 30 KiB; analysing takes about a second for each 100 KiB."""
    max_templates: int = 512 * 1024
    """The same of all templates of a file. Published ones bring up to four."""
    max_template_steps: int = 50_000
    """Nodes evaluated in a template, those of loops over constants each time: about a second."""
    max_config_bytes: int = 32 * MIB
    """A configuration or notebook that is read in one piece. Notebooks with pictures have some megabytes."""
    max_config_nodes: int = 1_500_000
    """Values of a JSON document, at about a hundred bytes each when parsed."""
    max_yaml_events: int = 300_000
    """Events of a YAML document: about two seconds. Aliases are never expanded."""
    max_config_depth: int = 100
    """Levels of a configuration; Python's own parser stops near a thousand."""
    max_module_bytes: int = 2 * MIB
    """Python source that a repository brings. The longest published modules of models have 200 KiB."""
    max_module_tokens: int = 250_000
    """Words and marks of Python source, two spaces counting as one: some seconds of work. The longest modules have 60,000."""
    max_module_depth: int = 150
    """Levels of a module's syntax tree; a chain of 100 `elif` has 110."""
    max_shards: int = 2_000
    """Files of weights that an index names and whose headers are compared with it; the largest models have 200."""
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
    unpacked: int
    reserve: int = 2_000_000
    """Opcodes for the search behind the stream that used up the others; given out once."""
    templates: int = 0

    @classmethod
    def of(cls, limits: ScanLimits, size: int = 0) -> "Budget":
        """For a file of that many bytes."""
        unpacked = max(limits.max_unpacked_bytes, limits.unpacked_per_byte * size)
        return cls(
            limits.max_opcodes,
            limits.max_inflated_bytes,
            limits.max_members,
            limits.max_candidates,
            unpacked,
            templates=limits.max_templates,
        )
