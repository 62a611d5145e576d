"""One system, one file, one figure of its paper. Each is imported by its own name."""
