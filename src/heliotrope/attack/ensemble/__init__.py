"""Several attacks and a proof together: the pointwise worst case, cheap attacks first. docs/design/ensemble.md says how."""
