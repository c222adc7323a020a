/* key: [contact id, phone or doc id; reported_date], value: {id, date, contact}.
   Read by the web client: the list of conversations. */
function (doc) {
  if (doc.type !== 'data_record' || doc.form) { return; }
  function converse(contact, phone) {
    var partner = (contact && contact._id) || phone || doc._id;
    emit([partner, doc.reported_date], { id: doc._id, date: doc.reported_date, contact: contact });
  }
  if (doc.kujua_message && Array.isArray(doc.tasks)) {
    doc.tasks.forEach(function (task) {
      var message = task && Array.isArray(task.messages) && task.messages[0];
      if (message) { converse(message.contact, message.to); }
    });
  } else if (doc.sms_message) {
    converse(doc.contact, doc.from);
  }
}
