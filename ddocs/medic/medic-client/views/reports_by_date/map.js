/* key: [reported_date], value: reported_date. Read by the web client and sentinel: reports by time. */
function (doc) {
  if (doc.type === 'data_record' && doc.form) {
    emit([doc.reported_date], doc.reported_date);
  }
}
