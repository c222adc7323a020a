/* key: null, value: null. Read by api: monitoring the outbound backlog. */
function (doc) {
  if (doc.type === 'task:outbound') {
    emit(null, null);
  }
}
