/* key: "report" or "message", value: null. Read by the web client: unread counts. */
function (doc) {
  if (doc.type === 'data_record') {
    emit(doc.form ? 'report' : 'message', null);
  }
}
