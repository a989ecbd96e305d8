"""What the entry point names: importing these two modules registers what is in them."""

from heliotrope_scorecard import analyser, checks

__all__ = ["analyser", "checks"]
