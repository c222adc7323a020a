/* key: [group, last update in ms, state], value: null. Read by api: monitoring the newest hundred of each group. */
function (doc) {
  var groups = {
    scheduled: 'scheduled', sent: 'final', delivered: 'final', failed: 'final',
    muted: 'muted', cleared: 'muted', denied: 'muted', duplicate: 'muted'
  };
  function milliseconds(moment) {
    if (typeof moment === 'string') {
      return /^\d{9,}$/.test(moment) ? Number(moment) : new Date(moment).getTime();
    }
    return typeof moment === 'number' ? moment : NaN;
  }
  function update(task) {
    if (!task) { return; }
    var history = Array.isArray(task.state_history) ? task.state_history : [];
    var last = history[history.length - 1];
    var updated = milliseconds((last && last.timestamp) || task.timestamp || doc.reported_date) || 0;
    var known = typeof task.state === 'string' && groups.hasOwnProperty(task.state);
    emit([known ? groups[task.state] : 'pending', updated, task.state], null);
  }
  [doc.tasks, doc.scheduled_tasks].forEach(function (tasks) {
    if (Array.isArray(tasks)) { tasks.forEach(update); }
  });
}
