"""Images and cameras as the model takes them."""
