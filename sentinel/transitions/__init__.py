"""Reactions to changed documents: `load` makes them from the settings, `save_new` is the one door for the API."""

from sentinel.transitions.catalogue import Transitions, load, make_tools
from sentinel.transitions.synchronous import save_new

__all__ = ["Transitions", "load", "make_tools", "save_new"]
