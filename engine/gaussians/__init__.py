"""3D Gaussians, and fewer of them."""
