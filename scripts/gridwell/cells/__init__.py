"""Features per instance, matching of channels, states, viability."""
