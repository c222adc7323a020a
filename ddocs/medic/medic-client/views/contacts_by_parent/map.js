/* key: [parent id, type name], value: null. Read by the web client: the children of a place. */
function (doc) {
  var types = ['contact', 'person', 'clinic', 'health_center', 'district_hospital'];
  if (types.indexOf(doc.type) >= 0 && doc.parent && doc.parent._id) {
    emit([doc.parent._id, doc.type === 'contact' ? doc.contact_type : doc.type], null);
  }
}
