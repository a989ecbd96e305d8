"""Formats of plain numbers, which run nothing unless they are more than they say."""
