"""Objects by conventional image processing."""
