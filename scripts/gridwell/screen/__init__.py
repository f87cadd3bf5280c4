"""Layout join, normalisation, dose response, quality statistics."""
