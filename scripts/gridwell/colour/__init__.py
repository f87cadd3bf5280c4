"""From the colour of a spot to a calibrated number."""
