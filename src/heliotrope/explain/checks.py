"""The plug-in of the checks that explain: importing it registers them all. One module for each check."""

from heliotrope.explain.attributions import attributions
from heliotrope.explain.drift import drift
from heliotrope.explain.sanity import sanity
from heliotrope.explain.shortcut import shortcut
from heliotrope.explain.triggers import triggers

__all__ = ["attributions", "drift", "sanity", "shortcut", "triggers"]
