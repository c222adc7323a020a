"""The domain, with no server and no loop."""

__version__ = "0.1.0"
