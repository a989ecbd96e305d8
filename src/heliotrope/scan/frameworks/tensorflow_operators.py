"""What TensorFlow's operators can do to the machine, by name.

Source: the operator registry of TensorFlow 2.21, written down in data/tensorflow_operators.txt; removed ones of version 1 count as custom.
"""

import re

from heliotrope.scan.policy import tensorflow_operators

__all__ = ["CHECKPOINTS", "operator_rule", "symbol_rule"]

CHECKPOINTS = frozenset(
    "Save SaveSlices SaveV2 Restore RestoreSlice RestoreV2 MergeV2Checkpoints DistributedSave DTensorRestoreV2".split()  # noqa: SIM905 - a table
)
"""Every saved model has some, for its variables; what matters is who chooses the path."""

_WRITE = ("tensorflow-write-operator", "writes files that the model chooses")
_READ = ("tensorflow-read-operator", "reads files that the model chooses")
_NETWORK = ("tensorflow-network-operator", "talks to other machines or processes")
_PYTHON = ("tensorflow-python-operator", "calls Python functions of the process")
_CUSTOM = ("tensorflow-custom-operator", "is no operator of TensorFlow, but of a native library that must be installed")
_EXTENSION = ("tensorflow-extension-operator", "belongs to a known extension of TensorFlow")

_EXACT: dict[str, tuple[str, str]] = {
    name: rule
    for rule, names in (
        (
            _WRITE,
            (
                "WriteFile DatasetToTFRecord ExperimentalDatasetToTFRecord SaveDataset SaveDatasetV2 DumpTensor SnapshotDataset "
                "SnapshotDatasetV2 SnapshotChunkDataset CreateSummaryFileWriter CreateSummaryDbWriter CalibrationStatisticsSaver"
            ),
        ),
        (
            _READ,
            (
                "ReadFile MatchingFiles MatchingFilesDataset ExperimentalMatchingFilesDataset TextLineDataset TFRecordDataset "
                "TFRecordDatasetV2 FixedLengthRecordDataset FixedLengthRecordDatasetV2 CSVDataset CSVDatasetV2 ExperimentalCSVDataset "
                "LMDBDataset ExperimentalLMDBDataset LMDBReader SqlDataset ExperimentalSqlDataset TextLineReader TextLineReaderV2 "
                "TFRecordReader TFRecordReaderV2 WholeFileReader WholeFileReaderV2 FixedLengthRecordReader FixedLengthRecordReaderV2 "
                "LoadDataset ImmutableConst ListSnapshotChunksDataset SnapshotDatasetReader SnapshotNestedDatasetReader "
                "FileSystemSetConfiguration LoadAndRemapMatrix GenerateVocabRemapping"
            ),
        ),
        (
            _NETWORK,
            (
                "RpcCall RpcClient RpcServer RpcServerRegister RpcServerStart RpcCheckStatus RpcGetValue DataServiceDataset "
                "DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4 RegisterDataset RegisterDatasetV2 RemoteFusedGraphExecute "
                "DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary DebugNumericSummaryV2"
            ),
        ),
        (_PYTHON, "PyFunc PyFuncStateless EagerPyFunc NumpyFunc"),
    )
    for name in names.split()
}
_EXTENSIONS = re.compile(
    r"SimpleML\w+|Addons>\w+|TFText>\w+|\w*(?:Wordpiece|Sentencepiece|WhitespaceTokenize|UnicodeScriptTokenize|SplitMerge|FastBertNormalize|"
    r"CaseFoldUTF8|NormalizeUTF8|RegexSplit|SentenceFragment|Ragged?TextSplit|PhraseTokeniz|RougeL|ConstrainedSequence|MaskedTokens|Tfg?Text)\w*"
)
"""Operators of TensorFlow Decision Forests, Addons and Text."""

_PREFIXES = re.compile(r"_Mkl\w+|_Fused\w+|_Nccl\w+|_Xla\w+|TPU\w+|IteratorGetNext\w*")

_SYMBOLS: tuple[tuple[re.Pattern[str], tuple[str, str] | None], ...] = (
    (re.compile(r"(?:.*\.)?(?:py_func(?:tion)?|numpy_function|eager_py_func|py_func_common)"), _PYTHON),
    (re.compile(r"(?:.*\.)?(?:load_op_library|load_library|load_file_system_library|load_pluggable_device_library)"), _CUSTOM),
    (re.compile(r"(?:.*\.)?(?:write_file|save|save_v2|print_v2|delete|delete_recursively|remove|rmtree|rename|copy|makedirs|mkdir)"), _WRITE),
    (re.compile(r"(?:.*\.)?(?:read_file|matching_files|whole_file_reader|load|restore_v2|get_file|listdir|glob|walk|GFile)"), _READ),
    (re.compile(r"(?:io\.gfile|gfile|saved_model|summary|train|data\.experimental\.service|profiler|debugging\.experimental)\..*"), _READ),
    (re.compile(r"(?:compat\.)?(?:os|sys|subprocess|builtins|importlib|compat\.v1\.app)\..*"), _PYTHON),
)  # fmt: skip
_RAW = re.compile(r"(?:.*\.)?raw_ops\.(\w+)")


def operator_rule(name: str) -> tuple[str, str] | None:
    """The rule that an operator breaks and what it does; None for one that computes."""
    exact = _EXACT.get(name)
    if exact is not None:
        return exact
    if name in tensorflow_operators() or _PREFIXES.fullmatch(name):
        return None
    return _EXTENSION if _EXTENSIONS.fullmatch(name) else _CUSTOM


def symbol_rule(name: str) -> tuple[str, str] | None:
    """The same for a name of TensorFlow's interface, as in math.add, which Keras calls as a layer."""
    plain = name.removeprefix("tf.").removeprefix("tensorflow.").removeprefix("compat.v1.")
    raw = _RAW.fullmatch(plain)
    if raw is not None:
        return (_WRITE if raw[1] in CHECKPOINTS else None) or operator_rule(raw[1])
    return next((rule for pattern, rule in _SYMBOLS if pattern.fullmatch(plain)), None)
