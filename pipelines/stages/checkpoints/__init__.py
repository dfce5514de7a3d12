"""Checkpoints: how a state is written down, compared with the one before, and proven whole."""
