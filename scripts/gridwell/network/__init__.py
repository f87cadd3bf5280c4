"""Device policy, networks and their weights; the only room beside learn that imports torch."""
