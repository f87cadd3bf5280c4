"""DataLad, content hashes, run record, verification."""
