"""Texts about a model or a patient, ready to read or print."""
