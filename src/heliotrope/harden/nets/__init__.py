"""Torch networks: adversarial training that can be stopped and goes on."""
