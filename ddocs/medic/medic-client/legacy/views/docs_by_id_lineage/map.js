/* key: [doc id, level], value: {_id: ancestor id}, null for a report itself.
   Read by web clients before 5: a document with its lineage. */
function (doc) {
  var types = ['contact', 'person', 'clinic', 'health_center', 'district_hospital'];
  var node = doc;
  var level = 0;
  if (doc.type === 'data_record' && doc.form) {
    emit([doc._id, 0], null);
    node = doc.contact;
    level = 1;
  } else if (types.indexOf(doc.type) < 0) {
    return;
  }
  for (; node; node = node.parent, level++) {
    if (node._id) { emit([doc._id, level], { _id: node._id }); }
  }
}
