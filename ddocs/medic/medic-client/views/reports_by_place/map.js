/* key: [id of a place above the submitter], value: reported_date. Read by the web client: the facility filter. */
function (doc) {
  if (doc.type !== 'data_record' || !doc.form) { return; }
  for (var place = doc.contact && doc.contact.parent; place; place = place.parent) {
    if (place._id) { emit([place._id], doc.reported_date); }
  }
}
