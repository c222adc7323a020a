"""The CouchDB design documents, one folder per database and document; read by core/couch/ddocs.py."""
