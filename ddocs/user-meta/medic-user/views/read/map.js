/* key: "report" or "message" of a read receipt, value: null. Read by the web client: unread counts. */
function (doc) {
  var parts = doc._id.split(':');
  if (parts[0] === 'read' && parts.length > 2) {
    emit(parts[1], null);
  }
}
