"""What is doubtful about a capture."""
