"""Which documents of a corpus are left out."""
