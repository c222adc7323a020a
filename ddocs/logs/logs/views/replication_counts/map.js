/* key: number of documents in a user's last list, value: the user's name. Read by api: who comes near the limit. */
function (doc) {
  if (typeof doc.count === 'number') {
    emit(doc.count, doc.user);
  }
}
