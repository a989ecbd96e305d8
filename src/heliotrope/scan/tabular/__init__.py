"""Data that lies beside models."""
