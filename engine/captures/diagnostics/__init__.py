"""Diagnostics: what is doubtful about a capture."""
