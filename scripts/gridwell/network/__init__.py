"""Device policy; the only room beside learn that imports torch."""
