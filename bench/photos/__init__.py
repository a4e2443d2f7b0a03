"""What photographs do to a reconstruction that renders do not: cut frames, wrong poses."""
