"""Gradient descent on the input images after the network."""
