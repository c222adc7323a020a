"""`python -m outpost`."""

from outpost.cli import main

main()
