"""Training of GeoLRM in torch: recipes, data, losses, and the loop over processes."""
