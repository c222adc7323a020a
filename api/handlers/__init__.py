"""One file per resource; each ends in its routes, listed in api/routes.py."""
