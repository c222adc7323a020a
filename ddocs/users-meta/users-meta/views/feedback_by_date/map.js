/* key: time of the feedback as ISO text, value: null. Read by api (monitoring) and the admin pages (export). */
function (doc) {
  if (doc.type === 'feedback') {
    emit(doc.meta && doc.meta.time, null);
  }
}
