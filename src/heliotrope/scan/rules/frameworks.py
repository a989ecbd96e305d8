"""Rules of formats that frameworks describe models in: graphs, schemas, trees."""

from heliotrope.core.findings import Rule
from heliotrope.scan.rules._table import (
    CODE,
    DO_NOT_LOAD,
    OWASP_SUPPLY,
    SUPPLY_CHAIN,
    UNSAFE_ARTIFACT,
    UNTRUSTED,
    rule,
)

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    rule(
        "torch-script-code",
        "The archive carries TorchScript code",
        "info",
        "Its code runs when the model is called. It cannot start programs, but it can read and write files; it was not analysed.",
        "Prefer weights alone in a safetensors file.",
        (UNSAFE_ARTIFACT,),
        safe=True,
    ),
    rule(
        "skops-dangerous-type",
        "The skops file names something that can harm the machine",
        "critical",
        "Loaders import and use what a node names. skops asks whether it is trusted, and people tend to trust what a file asks for.",
        DO_NOT_LOAD,
        CODE,
    ),
    rule(
        "skops-unknown-type",
        "The skops file needs something nobody vouches for",
        "high",
        "The type or function is not among those that the known frameworks need for loading, or not in this way.",
        "Find out what the named type does before you add it to the trusted types.",
        UNTRUSTED,
    ),
    rule(
        "skops-odd-node",
        "A node of the skops file is not one that ordinary models have",
        "high",
        "Bound methods, unknown loaders and types under loaders of other types let a file choose what runs later.",
        "Ask the publisher for a file that a released version of skops has written from an ordinary model.",
        UNTRUSTED,
    ),
    rule(
        "onnx-external-path",
        "Tensors are read from outside the model's folder",
        "high",
        "Whoever loads the model reads a file that the model chose, and its content leaves with the model's outputs.",
        "Do not load this model. Get it again together with its data files, which lie beside it.",
        (UNSAFE_ARTIFACT, OWASP_SUPPLY, "CWE-22"),
    ),
    rule(
        "onnx-memory-address",
        "A tensor is read from an address in memory",
        "critical",
        "The runtime marks tensors that it holds in memory by an address. In a file, the address is an attacker's.",
        "Do not load this model.",
        (UNSAFE_ARTIFACT, "CWE-125"),
    ),
    rule(
        "onnx-external-range",
        "A tensor's values do not fit the file they are in",
        "high",
        "The file is cut short, belongs to another model, or is made to be read beyond its end.",
        "Get the model again together with its data files and compare digests.",
        (UNSAFE_ARTIFACT, "CWE-125"),
    ),
    rule(
        "onnx-custom-operator",
        "The model needs an operator that is not part of ONNX",
        "medium",
        "Operators of other domains are native code that must be installed beside the runtime. What they do, the model does not say.",
        "Export the model with standard operators, or find out who provides this one before you install it.",
        (UNSAFE_ARTIFACT, SUPPLY_CHAIN, OWASP_SUPPLY, "CWE-829"),
    ),
    rule(
        "onnx-python-operator",
        "The model calls Python code",
        "high",
        "The operator hands tensors to a Python function, which the model's attributes name.",
        "Do not load this model. Ask for an export with standard operators.",
        UNTRUSTED,
    ),
    rule(
        "onnx-script-in-text",
        "Text of the model looks like a script",
        "info",
        "Descriptions and metadata are for people. A program that renders or evaluates them would run what is in them.",
        "Show the text as text.",
        (UNSAFE_ARTIFACT,),
        safe=True,
    ),
)
