/* key: [form, year, month, parent id of the submitter, reported_date], value: null.
   Read by sentinel: merging scheduled reports. */
function (doc) {
  var fields = doc.fields;
  if (doc.type !== 'data_record' || !doc.form || !doc.reported_date || !fields) { return; }
  var parent = doc.contact && doc.contact.parent;
  var month = fields.month || fields.month_num;
  if (parent && parent._id && fields.year && month) {
    emit([doc.form, fields.year, month, parent._id, doc.reported_date], null);
  }
}
