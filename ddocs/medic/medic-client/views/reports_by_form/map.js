/* key: [form], value: reported_date. Read by api and web client: reports of a form, and their count. */
function (doc) {
  if (doc.type === 'data_record' && doc.form) {
    emit([doc.form], doc.reported_date);
  }
}
