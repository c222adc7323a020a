/* key: [verified], null when not reviewed, value: reported_date. Read by the web client: the review filter. */
function (doc) {
  if (doc.type === 'data_record' && doc.form) {
    emit([doc.verified], doc.reported_date);
  }
}
