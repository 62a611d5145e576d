"""Pictures and data sets: `photos` (real), `shapes` (generated). Each is imported by its own name."""
