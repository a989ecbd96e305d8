"""Ordinary files, as frameworks write them: what the scanner must not accuse.

`python -m tests.corpus OUT [FAMILY ...]` makes those of the installed versions; run it in an environment of each version.
The makers import nothing of Heliotrope and run on Python 3.9 and later, so that old releases can make their files.
"""
