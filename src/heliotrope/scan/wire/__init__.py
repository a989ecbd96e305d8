"""Encodings that several formats share, walked without building what they describe."""
