/* Refuses the deletions by which a phone purges. Run by CouchDB on every write. */
function (newDoc) {
  if (newDoc._deleted && newDoc.purged) {
    throw ({ forbidden: 'Purged documents should not be written to CouchDB!' });
  }
}
