"""Grading a class: submissions are run in sandboxes on hidden cases, and the answers compared outside of them."""
