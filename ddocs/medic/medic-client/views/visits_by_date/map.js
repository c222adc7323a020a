/* key: visit time in ms, value: contact id; and key: [contact id, visit time], value: null.
   Read by the web client: visit counts. */
function (doc) {
  function milliseconds(moment) {
    if (typeof moment === 'string') {
      return /^\d{9,}$/.test(moment) ? Number(moment) : new Date(moment).getTime();
    }
    return typeof moment === 'number' ? moment : NaN;
  }
  if (doc.type !== 'data_record' || !doc.form || !doc.fields || !doc.fields.visited_contact_uuid) { return; }
  var date = doc.fields.visited_date;
  var visited = date ? milliseconds(date) : doc.reported_date;
  visited = typeof visited === 'number' && !isNaN(visited) ? visited : 0;
  emit(visited, doc.fields.visited_contact_uuid);
  emit([doc.fields.visited_contact_uuid, visited], null);
}
