"""Which contacts and reports hold a word: our own full-text index, so that CouchDB needs none (60 §7)."""
