/* key: state, value: {id, gateway_ref}. Read by api: asking a hosted SMS service how its messages fare. */
function (doc) {
  function poll(task) {
    if (!task || !task.gateway_ref || !Array.isArray(task.messages)) { return; }
    task.messages.forEach(function (message) {
      if (message && message.uuid && message.to && message.message) {
        emit(task.state, { id: message.uuid, gateway_ref: task.gateway_ref });
      }
    });
  }
  [doc.tasks, doc.scheduled_tasks].forEach(function (tasks) {
    if (Array.isArray(tasks)) { tasks.forEach(poll); }
  });
}
