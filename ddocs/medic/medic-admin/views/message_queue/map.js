/* key: [group, due_ms], value: {task, due} with sms or scheduled_sms.
   Read by api (monitoring counts) and the admin pages. */
function (doc) {
  var groups = { scheduled: 'scheduled', muted: 'muted', cleared: 'muted', denied: 'muted', duplicate: 'muted' };
  var finished = { delivered: 'delivered', sent: 'delivered', failed: 'failed' };
  function milliseconds(moment) {
    if (typeof moment === 'string') {
      return /^\d{9,}$/.test(moment) ? Number(moment) : new Date(moment).getTime();
    }
    return typeof moment === 'number' ? moment : NaN;
  }
  function group(table, state) {
    return typeof state === 'string' && table.hasOwnProperty(state) ? table[state] : undefined;
  }
  function queue(task) {
    if (!task) { return; }
    var due = milliseconds(task.due || task.timestamp || doc.reported_date) || 0;
    var history = Array.isArray(task.state_history) ? task.state_history : [];
    function add(name, text) {
      var value = {
        task: {
          state_history: history[history.length - 1],
          state: task.state,
          group: task.group,
          translation_key: task.translation_key,
          type: task.type
        },
        due: due
      };
      value[name] = text;
      emit([group(groups, task.state) || 'due', due], value);
      if (group(finished, task.state)) { emit([group(finished, task.state), due], value); }
    }
    if (!Array.isArray(task.messages) || !task.messages.length) {
      add('scheduled_sms', { translation_key: task.message_key, recipient: task.recipient, content: task.message });
      return;
    }
    task.messages.forEach(function (message) {
      if (message && message.uuid && message.to && message.message) {
        add('sms', { message: message.message, to: message.to });
      }
    });
  }
  [doc.tasks, doc.scheduled_tasks].forEach(function (tasks) {
    if (Array.isArray(tasks)) { tasks.forEach(queue); }
  });
}
