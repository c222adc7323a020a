/* key: [form, parent id of the submitter], value: reported_date or 0.
   Read by sentinel: reminders and conditional alerts. */
function (doc) {
  if (doc.type !== 'data_record' || !doc.form) { return; }
  var parent = doc.contact && doc.contact.parent;
  if (parent && parent._id) {
    emit([doc.form, parent._id], typeof doc.reported_date === 'number' ? doc.reported_date : 0);
  }
}
