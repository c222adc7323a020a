/* key: [ancestor id] and [ancestor id, distance], value: {shortcode, primary_contact}.
   Read by api and sentinel: who is below a place. */
function (doc) {
  var types = ['contact', 'person', 'clinic', 'health_center', 'district_hospital'];
  if (types.indexOf(doc.type) < 0) { return; }
  var contact = doc.contact;
  var primary = typeof contact === 'string' ? contact : contact && contact._id;
  var value = { shortcode: doc.patient_id || doc.place_id, primary_contact: primary || undefined };
  var node = doc;
  for (var distance = 0; node; distance++) {
    if (node._id) {
      emit([node._id], value);
      emit([node._id, distance], value);
    }
    node = node.parent;
  }
}
