"""Certificates: what no attack within a threat can do, proven. docs/design/certificates.md says how, and what is assumed."""

from heliotrope.attack.certify._service import certifier_of, certify
from heliotrope.attack.certify.interface import Budget, Certificates, Certifier, Region, Verdict
from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.probe import Worth, probe
from heliotrope.attack.certify.smoothing import Smoothed, Smoothing, smooth

__all__ = [
    "Budget",
    "Certificates",
    "Certifier",
    "NotModelled",
    "Region",
    "Smoothed",
    "Smoothing",
    "Verdict",
    "Worth",
    "certifier_of",
    "certify",
    "probe",
    "smooth",
]
