/* key: "owner-<id>" and "requester-<id>" of open tasks, value: null.
   Read by web clients before 5: the tasks of a contact. */
function (doc) {
  var terminal = ['Cancelled', 'Completed', 'Failed'];
  if (doc.type !== 'task' || terminal.indexOf(doc.state) >= 0) { return; }
  emit('owner-' + (typeof doc.owner === 'string' && doc.owner || '_unassigned'), null);
  if (typeof doc.requester === 'string' && doc.requester) { emit('requester-' + doc.requester, null); }
}
