"""Slow truths that the fast code is held against."""
