/* key: message uuid, value: null. Read by api: the document a gateway's status update is about. */
function (doc) {
  [doc.tasks, doc.scheduled_tasks].forEach(function (tasks) {
    if (!Array.isArray(tasks)) { return; }
    tasks.forEach(function (task) {
      if (!task || !Array.isArray(task.messages)) { return; }
      task.messages.forEach(function (message) {
        if (message && message.uuid) { emit(message.uuid, null); }
      });
    });
  });
}
