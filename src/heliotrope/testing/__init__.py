"""For authors of plug-ins: fakes, and contracts that every check and every analyser keeps.

Nothing here needs a test framework: a contract that is broken raises AssertionError with what was seen.
"""

from heliotrope.testing.analysers import Sample, assert_analyser_contract, scan_sample
from heliotrope.testing.checks import CheckRun, assert_check_contract, run_check
from heliotrope.testing.context import FakeContext

__all__ = [
    "CheckRun",
    "FakeContext",
    "Sample",
    "assert_analyser_contract",
    "assert_check_contract",
    "run_check",
    "scan_sample",
]
