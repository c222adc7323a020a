/* key: [form, year, week, parent id of the submitter, reported_date], value: null.
   Read by sentinel: merging scheduled reports. */
function (doc) {
  var fields = doc.fields;
  if (doc.type !== 'data_record' || !doc.form || !doc.reported_date || !fields) { return; }
  var parent = doc.contact && doc.contact.parent;
  var week = fields.week || fields.week_number;
  if (parent && parent._id && fields.year && week) {
    emit([doc.form, fields.year, week, parent._id, doc.reported_date], null);
  }
}
