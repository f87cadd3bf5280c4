"""From pixels to candidate spots, from candidates to a grid."""
