"""Every rule of the scanner. Severity decides the verdict: critical is malicious, high and medium are suspicious."""

from functools import cache

from heliotrope.core.findings import Fix, Rule, Severity
from heliotrope.core.predicates.scan import ScanVerdict

__all__ = ["RULES", "find_rule", "verdict_of"]

_UNSAFE_ARTIFACT = "AML.T0011.000"
_EMBEDDED_MALWARE = "AML.T0018.002"
_SUPPLY_CHAIN = "AML.T0010.003"
_MASQUERADING = "AML.T0074"
_OWASP_SUPPLY = "ML06:2023"
_CODE = (_UNSAFE_ARTIFACT, _EMBEDDED_MALWARE, _OWASP_SUPPLY, "CWE-502")
_UNTRUSTED = (_UNSAFE_ARTIFACT, _SUPPLY_CHAIN, _OWASP_SUPPLY, "CWE-502")
_AMBIGUOUS = (_UNSAFE_ARTIFACT, _MASQUERADING, "CWE-436")

_DO_NOT_LOAD = "Do not load this file. Get the model from its publisher again, in safetensors format if there is one, and compare digests."
_CONVERT = "Ask the publisher for a safetensors file, or load it only where the code it names is known and the process is confined."
_REPACK = "Do not load this file. Build the archive again with the framework's own save function from a copy you trust."
_REWRITE = "Write the file again with the safetensors library from tensors you trust."


def _rule(  # noqa: PLR0917 - the rows of a table
    id_: str, title: str, severity: Severity, help_: str, fix: str, taxonomy: tuple[str, ...], *, safe: bool = False
) -> Rule:
    return Rule(id=id_, title=title, severity=severity, help=help_, fix=Fix(text=fix, safe=safe), taxonomy=taxonomy)


RULES: tuple[Rule, ...] = (
    _rule(
        "pickle-dangerous-call",
        "The pickle calls a function that can harm the machine",
        "critical",
        "Loading the file calls this function with arguments the file chose. No model needs that; it is how malware travels in pickles.",
        _DO_NOT_LOAD,
        _CODE,
    ),
    _rule(
        "pickle-dangerous-import",
        "The pickle refers to a function that can harm the machine",
        "high",
        "The function is imported but not called by the file itself; whoever uses the loaded object may call it.",
        _DO_NOT_LOAD,
        _CODE,
    ),
    _rule(
        "pickle-dotted-name",
        "The pickle reaches through a module to something else",
        "critical",
        "A dotted name walks from a harmless module to whatever that module happens to import, to slip past lists of names.",
        _DO_NOT_LOAD,
        _CODE,
    ),
    _rule(
        "pickle-computed-name",
        "The pickle computes the name of what it imports",
        "critical",
        "Picklers write names as constants. A name that exists only while loading hides what is imported.",
        _DO_NOT_LOAD,
        _CODE,
    ),
    _rule(
        "pickle-computed-call",
        "The pickle calls something that only exists while loading",
        "critical",
        "The callee is the result of another call or of a persistent id, so no inspection can say what runs.",
        _DO_NOT_LOAD,
        _CODE,
    ),
    _rule(
        "pickle-object-overwrite",
        "The pickle changes a module, class or function",
        "critical",
        "State is written onto an imported object, which replaces code that other parts of the program will run.",
        _DO_NOT_LOAD,
        _CODE,
    ),
    _rule(
        "pickle-unknown-call",
        "The pickle calls a function nobody vouches for",
        "high",
        "The function is not among those that the known frameworks need for loading. It may be harmless; it runs on load.",
        _CONVERT,
        _UNTRUSTED,
    ),
    _rule(
        "pickle-unknown-state",
        "The pickle uses a known object in an unknown way",
        "high",
        "The object is harmless in the way frameworks use it, but this file calls it with other arguments or sets its state.",
        _CONVERT,
        _UNTRUSTED,
    ),
    _rule(
        "pickle-unknown-import",
        "The pickle imports a module nobody vouches for",
        "medium",
        "Importing runs the module's code, also when nothing of it is called: a file beside the model is enough.",
        _CONVERT,
        _UNTRUSTED,
    ),
    _rule(
        "pickle-extension-code",
        "The pickle uses the extension registry",
        "high",
        "An extension code stands for whatever the loading process registered under that number; the file does not say what.",
        _CONVERT,
        _UNTRUSTED,
    ),
    _rule(
        "pickle-framework-code",
        "The pickle needs code of a known framework",
        "info",
        "Objects of a known framework are rebuilt, which runs that framework's code in its usual way.",
        "Prefer weights alone in a safetensors file where the model's code is at hand.",
        (_UNSAFE_ARTIFACT, "CWE-502"),
        safe=True,
    ),
    _rule(
        "pickle-persistent-id",
        "The pickle refers to objects outside itself",
        "info",
        "What a persistent id means is decided by the program that loads the file.",
        "Nothing, if the loading program is known.",
        ("CWE-502",),
        safe=True,
    ),
    _rule(
        "pickle-hidden-stream",
        "A pickle hides behind other data",
        "medium",
        "After the first pickle and bytes that are none, another one follows. Loaders that continue or resume reading will load it.",
        _DO_NOT_LOAD,
        (_UNSAFE_ARTIFACT, _MASQUERADING, "CWE-502"),
    ),
    _rule(
        "pickle-trailing-data",
        "Bytes follow the pickle",
        "info",
        "The loader stops before them. They were searched for further pickles.",
        "Nothing, if the program that wrote the file is known.",
        ("CWE-502",),
        safe=True,
    ),
    _rule(
        "scan-limit",
        "A limit of the scanner was reached",
        "low",
        "The file is larger or deeper than any known model; what lies behind the limit was not inspected.",
        "Treat the file as not inspected.",
        ("AML.T0029", "CWE-400"),
    ),
    _rule(
        "joblib-odd-array",
        "An array in a joblib file is not written as joblib writes it",
        "high",
        "The bytes of arrays lie between the opcodes. Where their length cannot be told, what follows them stays unseen.",
        "Ask the publisher for a file that a released version of joblib has written.",
        _UNTRUSTED,
    ),
    _rule(
        "file-polyglot",
        "The file is of several formats at once",
        "high",
        "Different programs read different contents from the same bytes, so what one inspects is not what another loads.",
        _DO_NOT_LOAD,
        _AMBIGUOUS,
    ),
    _rule(
        "file-extension-mismatch",
        "The name says another format than the content",
        "info",
        "Tools that choose by name will take the file for something else.",
        "Rename the file.",
        (_MASQUERADING,),
        safe=True,
    ),
    _rule(
        "zip-disagreement",
        "The archive describes a member in two ways",
        "high",
        "Local header and central directory differ, so different readers see different members.",
        _REPACK,
        _AMBIGUOUS,
    ),
    _rule(
        "zip-duplicate-member",
        "The archive holds two members of one name",
        "high",
        "Which of them is loaded depends on the reader.",
        _REPACK,
        _AMBIGUOUS,
    ),
    _rule(
        "zip-hidden-member",
        "The archive holds a member its directory does not list",
        "high",
        "Readers that go by local headers see it, readers that go by the directory do not.",
        _REPACK,
        _AMBIGUOUS,
    ),
    _rule(
        "zip-unsafe-name",
        "A member's name leads out of the folder",
        "high",
        "Unpacking the archive carelessly writes a file anywhere on the machine.",
        _REPACK,
        (_UNSAFE_ARTIFACT, "CWE-22"),
    ),
    _rule(
        "zip-bad-checksum",
        "A member's checksum does not match",
        "low",
        "The member was damaged or changed after packing. Some loaders ignore that.",
        "Get the file again and compare digests.",
        ("CWE-354",),
    ),
    _rule(
        "zip-encrypted",
        "A member is marked as encrypted",
        "low",
        "Some readers ignore the mark and load the bytes as they are, others refuse.",
        "Get the file again, without encryption.",
        ("CWE-436",),
    ),
    _rule(
        "zip-prefix",
        "Bytes stand before the archive",
        "medium",
        "Readers that look at the beginning of the file see something else than those that look at its end.",
        _REPACK,
        _AMBIGUOUS,
    ),
    _rule(
        "torch-script-code",
        "The archive carries TorchScript code",
        "info",
        "Its code runs when the model is called. It cannot start programs, but it can read and write files; it was not analysed.",
        "Prefer weights alone in a safetensors file.",
        (_UNSAFE_ARTIFACT,),
        safe=True,
    ),
    _rule(
        "npy-object-array",
        "The array holds Python objects",
        "info",
        "They are stored as a pickle, which was inspected.",
        "Store numbers and strings in arrays of their own type.",
        (_UNSAFE_ARTIFACT, "CWE-502"),
        safe=True,
    ),
    _rule(
        "npy-invalid-header",
        "The array's header is malformed",
        "medium",
        "numpy did not write this header; parsers of it are a way in.",
        "Write the array again with numpy.save from data you trust.",
        (_UNSAFE_ARTIFACT, "CWE-20"),
    ),
    _rule(
        "npy-trailing-data",
        "Bytes follow the array",
        "info",
        "numpy stops before them. They were searched for pickles.",
        "Nothing, if the program that wrote the file is known.",
        ("CWE-20",),
        safe=True,
    ),
    _rule(
        "safetensors-invalid-header",
        "The safetensors header is malformed",
        "medium",
        "The header is not what the format prescribes; readers that are less strict may be led astray.",
        _REWRITE,
        (_UNSAFE_ARTIFACT, "CWE-20"),
    ),
    _rule(
        "safetensors-duplicate-key",
        "The safetensors header names a key twice",
        "high",
        "Which of the two counts depends on the reader.",
        _REWRITE,
        _AMBIGUOUS,
    ),
    _rule(
        "safetensors-overlap",
        "Tensors share bytes",
        "high",
        "The format forbids it. A value may be read as part of two tensors, or hide in one.",
        _REWRITE,
        _AMBIGUOUS,
    ),
    _rule(
        "safetensors-gap",
        "Bytes between tensors belong to none",
        "medium",
        "The format forbids it: room for data that nobody inspects.",
        _REWRITE,
        (_MASQUERADING, "CWE-20"),
    ),
    _rule(
        "safetensors-trailing-data",
        "Bytes follow the last tensor",
        "medium",
        "The format forbids it: room for data that nobody inspects.",
        _REWRITE,
        (_MASQUERADING, "CWE-20"),
    ),
    _rule(
        "safetensors-out-of-bounds",
        "A tensor lies beyond the end of the file",
        "high",
        "The file is cut short, or made to be read beyond its end.",
        "Get the file again and compare digests.",
        (_UNSAFE_ARTIFACT, "CWE-125"),
    ),
    _rule(
        "safetensors-size-mismatch",
        "A tensor's type and shape do not fit its bytes",
        "high",
        "Readers that trust the shape read other bytes than those that trust the offsets.",
        _REWRITE,
        (_UNSAFE_ARTIFACT, "CWE-125"),
    ),
    _rule(
        "skops-dangerous-type",
        "The skops file names something that can harm the machine",
        "critical",
        "Loaders import and use what a node names. skops asks whether it is trusted, and people tend to trust what a file asks for.",
        _DO_NOT_LOAD,
        _CODE,
    ),
    _rule(
        "skops-unknown-type",
        "The skops file needs something nobody vouches for",
        "high",
        "The type or function is not among those that the known frameworks need for loading, or not in this way.",
        "Find out what the named type does before you add it to the trusted types.",
        _UNTRUSTED,
    ),
    _rule(
        "skops-odd-node",
        "A node of the skops file is not one that ordinary models have",
        "high",
        "Bound methods, unknown loaders and types under loaders of other types let a file choose what runs later.",
        "Ask the publisher for a file that a released version of skops has written from an ordinary model.",
        _UNTRUSTED,
    ),
    _rule(
        "onnx-external-path",
        "Tensors are read from outside the model's folder",
        "high",
        "Whoever loads the model reads a file that the model chose, and its content leaves with the model's outputs.",
        "Do not load this model. Get it again together with its data files, which lie beside it.",
        (_UNSAFE_ARTIFACT, _OWASP_SUPPLY, "CWE-22"),
    ),
    _rule(
        "onnx-memory-address",
        "A tensor is read from an address in memory",
        "critical",
        "The runtime marks tensors that it holds in memory by an address. In a file, the address is an attacker's.",
        "Do not load this model.",
        (_UNSAFE_ARTIFACT, "CWE-125"),
    ),
    _rule(
        "onnx-external-range",
        "A tensor's values do not fit the file they are in",
        "high",
        "The file is cut short, belongs to another model, or is made to be read beyond its end.",
        "Get the model again together with its data files and compare digests.",
        (_UNSAFE_ARTIFACT, "CWE-125"),
    ),
    _rule(
        "onnx-custom-operator",
        "The model needs an operator that is not part of ONNX",
        "medium",
        "Operators of other domains are native code that must be installed beside the runtime. What they do, the model does not say.",
        "Export the model with standard operators, or find out who provides this one before you install it.",
        (_UNSAFE_ARTIFACT, _SUPPLY_CHAIN, _OWASP_SUPPLY, "CWE-829"),
    ),
    _rule(
        "onnx-python-operator",
        "The model calls Python code",
        "high",
        "The operator hands tensors to a Python function, which the model's attributes name.",
        "Do not load this model. Ask for an export with standard operators.",
        _UNTRUSTED,
    ),
    _rule(
        "onnx-script-in-text",
        "Text of the model looks like a script",
        "info",
        "Descriptions and metadata are for people. A program that renders or evaluates them would run what is in them.",
        "Show the text as text.",
        (_UNSAFE_ARTIFACT,),
        safe=True,
    ),
    _rule(
        "arrow-python-type",
        "A table's column has a pickled type",
        "high",
        "Old readers of Arrow and Parquet unpickle such a type when they open the file, which runs whatever is in it.",
        "Do not open this file with pyarrow before 14.0.1. Ask for the table with plain columns.",
        _UNTRUSTED,
    ),
)
"""In the order of the reference documentation. An id is also the anchor in docs/reference/rules.md."""


@cache
def _by_id() -> dict[str, Rule]:
    return {rule.id: rule for rule in RULES}


def find_rule(rule_id: str) -> Rule:
    """The rule of that id; KeyError when there is none, which is our own fault."""
    return _by_id()[rule_id]


def verdict_of(severity: Severity) -> ScanVerdict:
    """What a finding of that severity makes of a file."""
    if severity == "critical":
        return "malicious"
    return "suspicious" if severity in ("high", "medium") else "clean"
