"""Heliotrope: inspect, test, gate and defend machine-learning models."""

__version__ = "0.1.0"
