/* key: name of a user with more than 10000 documents, value: null. Read by api: monitoring overloaded phones. */
function (doc) {
  if (typeof doc.count === 'number' && doc.count > 10000) {
    emit(doc.user, null);
  }
}
