"""What the rules' tables share: taxonomy, advice, and the shape of a row."""

from heliotrope.core.findings import Fix, Rule, Severity

__all__ = [
    "AMBIGUOUS",
    "CODE",
    "CONVERT",
    "DO_NOT_LOAD",
    "EMBEDDED_MALWARE",
    "MASQUERADING",
    "OWASP_SUPPLY",
    "REPACK",
    "REWRITE",
    "SUPPLY_CHAIN",
    "UNSAFE_ARTIFACT",
    "UNTRUSTED",
    "rule",
]

UNSAFE_ARTIFACT = "AML.T0011.000"
EMBEDDED_MALWARE = "AML.T0018.002"
SUPPLY_CHAIN = "AML.T0010.003"
MASQUERADING = "AML.T0074"
OWASP_SUPPLY = "ML06:2023"
CODE = (UNSAFE_ARTIFACT, EMBEDDED_MALWARE, OWASP_SUPPLY, "CWE-502")
UNTRUSTED = (UNSAFE_ARTIFACT, SUPPLY_CHAIN, OWASP_SUPPLY, "CWE-502")
AMBIGUOUS = (UNSAFE_ARTIFACT, MASQUERADING, "CWE-436")

DO_NOT_LOAD = "Do not load this file. Get the model from its publisher again, in safetensors format if there is one, and compare digests."
CONVERT = "Ask the publisher for a safetensors file, or load it only where the code it names is known and the process is confined."
REPACK = "Do not load this file. Build the archive again with the framework's own save function from a copy you trust."
REWRITE = "Write the file again with the safetensors library from tensors you trust."


def rule(  # noqa: PLR0917 - the rows of a table
    id_: str, title: str, severity: Severity, help_: str, fix: str, taxonomy: tuple[str, ...], *, safe: bool = False
) -> Rule:
    """A row: its severity decides the verdict."""
    return Rule(id=id_, title=title, severity=severity, help=help_, fix=Fix(text=fix, safe=safe), taxonomy=taxonomy)
