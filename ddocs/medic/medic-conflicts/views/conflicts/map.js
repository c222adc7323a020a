/* key: the losing leaf revisions of a document, value: null. Read by api: monitoring the number of conflicts. */
function (doc) {
  if (doc._conflicts) {
    emit(doc._conflicts, null);
  }
}
