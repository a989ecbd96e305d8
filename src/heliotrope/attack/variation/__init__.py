"""Changes that no norm bounds sample by sample: images turned and moved, one pattern for all of them, a patch."""
