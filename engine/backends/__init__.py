"""What runs a bundle: the CPU, or a GPU."""
