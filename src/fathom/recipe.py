"""Recipe, the one typed description of a run; resolve()."""
