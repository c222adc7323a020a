"""CouchDB's HTTP API over the store: one file per kind of resource, each handler a plain coroutine."""
