/* key: end date of the emission as text, value: null. Read by sentinel: purging finished tasks. */
function (doc) {
  var terminal = ['Cancelled', 'Completed', 'Failed'];
  if (doc.type === 'task' && terminal.indexOf(doc.state) >= 0 && doc.emission && doc.emission.endDate) {
    emit(doc.emission.endDate, null);
  }
}
