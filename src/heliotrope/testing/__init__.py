"""For authors of plug-ins: fakes, and contracts that every check, every analyser and every adapter of models keeps.

Nothing here needs a test framework: a contract that is broken raises AssertionError with what was seen.
"""

from heliotrope.testing.analysers import Sample, assert_analyser_contract, scan_sample
from heliotrope.testing.checks import CheckRun, assert_check_contract, run_check
from heliotrope.testing.context import FakeContext
from heliotrope.testing.models import MODEL_CLAUSES, ModelCase, assert_model_contract

__all__ = [
    "MODEL_CLAUSES",
    "CheckRun",
    "FakeContext",
    "ModelCase",
    "Sample",
    "assert_analyser_contract",
    "assert_check_contract",
    "assert_model_contract",
    "run_check",
    "scan_sample",
]
