"""The client of CouchDB and what is installed in it."""
