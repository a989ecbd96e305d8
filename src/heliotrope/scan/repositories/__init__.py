"""Text beside weights that makes programs run: configuration, templates, notebooks and modules of a repository."""
