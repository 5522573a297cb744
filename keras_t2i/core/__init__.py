"""What any program would need: files, caches, pixels, noise and names. It knows no model."""
