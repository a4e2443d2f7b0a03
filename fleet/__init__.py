"""Many captures and many requests, on one machine or on a Ray cluster."""
