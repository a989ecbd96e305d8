"""The checks of certificates: bounds on samples, votes of smoothed classifiers, properties of ONNX networks."""

from heliotrope.attack.certify.bounds_check import certificate_bounds
from heliotrope.attack.certify.properties_check import certificate_properties
from heliotrope.attack.certify.smoothing_check import certificate_smoothing

__all__ = ["certificate_bounds", "certificate_properties", "certificate_smoothing"]
