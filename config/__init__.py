"""Policies (frozen tunables) and settings (the environment)."""
