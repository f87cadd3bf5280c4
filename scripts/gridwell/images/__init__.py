"""Raw readers, OME-Zarr in and out, spot stacks."""
