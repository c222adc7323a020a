/* key: [parent id, type name], value: "<dead> <muted> <rank> <name>" to sort by.
   Read by web clients before 5: the children of a place. */
function (doc) {
  var ranks = ['district_hospital', 'health_center', 'clinic', 'person'];
  if (doc.type !== 'contact' && ranks.indexOf(doc.type) < 0) { return; }
  var type = doc.type === 'contact' ? doc.contact_type : doc.type;
  if (typeof type !== 'string' || !doc.parent || !doc.parent._id) { return; }
  var rank = ranks.indexOf(type) < 0 ? type : ranks.indexOf(type);
  var name = typeof doc.name === 'string' || typeof doc.name === 'number' ? String(doc.name).toLowerCase() : undefined;
  emit([doc.parent._id, type], Boolean(doc.date_of_death) + ' ' + Boolean(doc.muted) + ' ' + rank + ' ' + name);
}
