"""The embedded store: a CouchDB-compatible server over SQLite that knows nothing about the rest of the project."""
