"""What every layer may use of the operating system and of Python."""
