"""The plug-in of the quality checks: importing it registers them all. One module for each check."""

from heliotrope.quality.corruptions import corruptions
from heliotrope.quality.cost import cost
from heliotrope.quality.determinism import determinism
from heliotrope.quality.inputs import inputs
from heliotrope.quality.leakage import leakage
from heliotrope.quality.missing_values import missing_values
from heliotrope.quality.performance import performance

__all__ = ["corruptions", "cost", "determinism", "inputs", "leakage", "missing_values", "performance"]
