"""Harness: commands, a browser, damaged inputs and recorded data, for tests to run and read."""
