/* key: [type name], value: "<dead> <muted> <rank> <name>" to sort by.
   Read by api, sentinel and web client: contacts of a type. */
function (doc) {
  var ranks = ['district_hospital', 'health_center', 'clinic', 'person'];
  if (doc.type !== 'contact' && ranks.indexOf(doc.type) < 0) { return; }
  var type = doc.type === 'contact' ? doc.contact_type : doc.type;
  if (typeof type !== 'string') { return; }
  var rank = ranks.indexOf(type) < 0 ? type : ranks.indexOf(type);
  var name = typeof doc.name === 'string' || typeof doc.name === 'number' ? String(doc.name).toLowerCase() : undefined;
  emit([type], Boolean(doc.date_of_death) + ' ' + Boolean(doc.muted) + ' ' + rank + ' ' + name);
}
