"""Scorecards for Heliotrope: an analyser of their files, and a check of what they compute."""

__version__ = "1.0.0"
