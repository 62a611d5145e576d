"""The course's tests. `python -m tests` prepares what they need and runs them all."""
