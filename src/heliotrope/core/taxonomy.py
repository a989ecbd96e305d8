"""The pinned catalogue of taxonomy ids that findings and alerts may carry, with their titles.

An id is data: a test proves that every id we emit is listed here, and that every ATLAS id exists in ATLAS itself.
Sources: MITRE ATLAS 5.6.0, OWASP Machine Learning Security Top 10 (2023 edition), MITRE CWE 4.x.
"""

from typing import Final

__all__ = ["ATLAS_VERSION", "TAXONOMY", "title_of"]

ATLAS_VERSION: Final = "5.6.0"

TAXONOMY: Final[dict[str, str]] = {
    "AML.T0010": "AI Supply Chain Compromise",
    "AML.T0010.001": "AI Software",
    "AML.T0010.002": "Data",
    "AML.T0010.003": "Model",
    "AML.T0011": "User Execution",
    "AML.T0011.000": "Unsafe AI Artifacts",
    "AML.T0011.001": "Malicious Package",
    "AML.T0015": "Evade AI Model",
    "AML.T0018": "Manipulate AI Model",
    "AML.T0018.000": "Poison AI Model",
    "AML.T0018.001": "Modify AI Model Architecture",
    "AML.T0018.002": "Embed Malware",
    "AML.T0019": "Publish Poisoned Datasets",
    "AML.T0020": "Poison Training Data",
    "AML.T0024": "Exfiltration via AI Inference API",
    "AML.T0029": "Denial of AI Service",
    "AML.T0031": "Erode AI Model Integrity",
    "AML.T0042": "Verify Attack",
    "AML.T0043": "Craft Adversarial Data",
    "AML.T0051.001": "Indirect",
    "AML.T0058": "Publish Poisoned Models",
    "AML.T0059": "Erode Dataset Integrity",
    "AML.T0074": "Masquerading",
    "AML.T0076": "Corrupt AI Model",
    "ML01:2023": "Input Manipulation Attack",
    "ML02:2023": "Data Poisoning Attack",
    "ML03:2023": "Model Inversion Attack",
    "ML04:2023": "Membership Inference Attack",
    "ML05:2023": "Model Theft",
    "ML06:2023": "AI Supply Chain Attacks",
    "ML07:2023": "Transfer Learning Attack",
    "ML08:2023": "Model Skewing",
    "ML09:2023": "Output Integrity Attack",
    "ML10:2023": "Model Poisoning",
    "CWE-20": "Improper Input Validation",
    "CWE-22": "Improper Limitation of a Pathname to a Restricted Directory ('Path Traversal')",
    "CWE-59": "Improper Link Resolution Before File Access ('Link Following')",
    "CWE-79": "Improper Neutralization of Input During Web Page Generation ('Cross-site Scripting')",
    "CWE-94": "Improper Control of Generation of Code ('Code Injection')",
    "CWE-125": "Out-of-bounds Read",
    "CWE-353": "Missing Support for Integrity Check",
    "CWE-354": "Improper Validation of Integrity Check Value",
    "CWE-400": "Uncontrolled Resource Consumption",
    "CWE-409": "Improper Handling of Highly Compressed Data (Data Amplification)",
    "CWE-436": "Interpretation Conflict",
    "CWE-494": "Download of Code Without Integrity Check",
    "CWE-502": "Deserialization of Untrusted Data",
    "CWE-798": "Use of Hard-coded Credentials",
    "CWE-829": "Inclusion of Functionality from Untrusted Control Sphere",
    "CWE-1007": "Insufficient Visual Distinction of Homoglyphs Presented to User",
    "CWE-1039": "Inadequate Detection or Handling of Adversarial Input Perturbations in Automated Recognition Mechanism",
    "CWE-1336": "Improper Neutralization of Special Elements Used in a Template Engine",
    "CWE-1357": "Reliance on Insufficiently Trustworthy Component",
}
"""Id to title."""


def title_of(taxonomy_id: str) -> str:
    """The title of an id, or the id itself when it is not in the catalogue, as of a record of a newer version."""
    return TAXONOMY.get(taxonomy_id, taxonomy_id)
