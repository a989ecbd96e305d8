"""Formats that frameworks describe models in: graphs, trees, schemas."""
