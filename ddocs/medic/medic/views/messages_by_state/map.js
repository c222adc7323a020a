/* key: [state, due_ms], value: {content, to, id} or {} before rendering.
   Read by the gateway, message export and the due job. */
function (doc) {
  function milliseconds(moment) {
    if (typeof moment === 'string') {
      return /^\d{9,}$/.test(moment) ? Number(moment) : new Date(moment).getTime();
    }
    return typeof moment === 'number' ? moment : NaN;
  }
  function send(task) {
    if (!task || typeof task.state !== 'string') { return; }
    var due = milliseconds(task.due || task.timestamp || doc.reported_date) || 0;
    if (!Array.isArray(task.messages) || !task.messages.length) {
      emit([task.state, due], {});
      return;
    }
    task.messages.forEach(function (message) {
      if (!message || !message.uuid || !message.to || !message.message) { return; }
      var value = { content: message.message, to: message.to, id: message.uuid };
      emit([task.state, due], value);
      if (task.state === 'pending' || task.state === 'forwarded-to-gateway') {
        emit(['pending-or-forwarded', due], value);
      }
    });
  }
  [doc.tasks, doc.scheduled_tasks].forEach(function (tasks) {
    if (Array.isArray(tasks)) { tasks.forEach(send); }
  });
}
