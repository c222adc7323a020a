"""Upgrades: builds, and the way of one from where it is kept into the databases without a pause (60 §12)."""
