"""Read, decide with the stages, commit."""
