"""A run, whatever the method: rounds, checkpoint, run folder, display, and the local engine."""
