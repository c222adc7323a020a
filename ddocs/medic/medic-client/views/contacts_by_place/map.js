/* key: [ancestor id], value: "<rank> <name>". Read by the web client: the hierarchy picker. */
function (doc) {
  var ranks = ['district_hospital', 'health_center', 'clinic', 'person'];
  if (doc.type !== 'contact' && ranks.indexOf(doc.type) < 0) { return; }
  var type = doc.type === 'contact' ? doc.contact_type : doc.type;
  if (typeof type !== 'string') { return; }
  var rank = ranks.indexOf(type) < 0 ? type : ranks.indexOf(type);
  var name = typeof doc.name === 'string' || typeof doc.name === 'number' ? String(doc.name).toLowerCase() : undefined;
  for (var place = doc.parent; place; place = place.parent) {
    if (place._id) { emit([place._id], rank + ' ' + name); }
  }
}
