"""Timed work, done by the worker that holds the lease."""
