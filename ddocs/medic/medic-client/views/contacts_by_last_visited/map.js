/* key: contact id, value: visit time in ms, 0 for the contact itself.
   Read by the web client (list order) and sentinel (archiving). */
function (doc) {
  function milliseconds(moment) {
    if (typeof moment === 'string') {
      return /^\d{9,}$/.test(moment) ? Number(moment) : new Date(moment).getTime();
    }
    return typeof moment === 'number' ? moment : NaN;
  }
  var types = ['contact', 'person', 'clinic', 'health_center', 'district_hospital'];
  if (types.indexOf(doc.type) >= 0) {
    emit(doc._id, 0);
  } else if (doc.type === 'data_record' && doc.form && doc.fields && doc.fields.visited_contact_uuid) {
    var date = doc.fields.visited_date;
    var visited = date ? milliseconds(date) : doc.reported_date;
    emit(doc.fields.visited_contact_uuid, typeof visited === 'number' && !isNaN(visited) ? visited : 0);
  }
}
