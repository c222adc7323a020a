/* key: id or shortcode of the contact that a report or message belongs to, "_unassigned" without one; value: null.
   Read by sentinel: purging. */
function (doc) {
  if (doc.type !== 'data_record') { return; }
  function idOf(contact) { return contact && contact._id; }
  function subject() {
    var fields = doc.fields || {};
    if (doc.form) {
      var unknown = Array.isArray(doc.errors) && doc.errors.some(function (error) {
        return error && (error.code === 'registration_not_found' || error.code === 'invalid_patient_id');
      });
      if (doc.contact && unknown) { return idOf(doc.contact); }
      return doc.patient_id || fields.patient_id || doc.place_id || fields.place_id || fields.patient_uuid ||
        idOf(doc.contact);
    }
    if (doc.sms_message) { return idOf(doc.contact); }
    if (doc.kujua_message) {
      var task = Array.isArray(doc.tasks) && doc.tasks[0];
      var message = task && Array.isArray(task.messages) && task.messages[0];
      return message && idOf(message.contact);
    }
  }
  var found = subject();
  var isText = typeof found === 'string' || typeof found === 'number';
  emit(found && isText ? String(found) : '_unassigned', null);
}
