"""The worker that reacts to changes."""
