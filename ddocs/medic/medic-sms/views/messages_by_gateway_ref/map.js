/* key: gateway_ref, value: message uuid. Read by api: has this message arrived before. */
function (doc) {
  function refer(task) {
    if (!task || !task.gateway_ref || !Array.isArray(task.messages)) { return; }
    task.messages.forEach(function (message) {
      if (message) { emit(task.gateway_ref, message.uuid); }
    });
  }
  [doc.tasks, doc.scheduled_tasks].forEach(function (tasks) {
    if (Array.isArray(tasks)) { tasks.forEach(refer); }
  });
  if (doc.sms_message && doc.sms_message.gateway_ref) {
    emit(doc.sms_message.gateway_ref, doc.sms_message.uuid);
  }
}
