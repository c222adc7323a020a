/* key: time of the last connection in ms, value: null. Read by api: monitoring how many users connect. */
function (doc) {
  if (doc._id.indexOf('connected-user-') === 0) {
    emit(doc.timestamp, null);
  }
}
