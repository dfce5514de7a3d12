"""Secrets and personal data, taken out before anything else sees a transcript."""
