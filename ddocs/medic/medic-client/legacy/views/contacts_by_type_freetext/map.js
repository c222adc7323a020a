/* key: [type name, word or key:value], value: "<dead> <muted> <rank> <name>" to sort by.
   Read by web clients before 5: searching contacts of a type. */
function (doc) {
  var ranks = ['district_hospital', 'health_center', 'clinic', 'person'];
  var skipped = ['_id', '_rev', 'type', 'refid', 'geolocation'];
  if (doc.type !== 'contact' && ranks.indexOf(doc.type) < 0) { return; }
  var type = doc.type === 'contact' ? doc.contact_type : doc.type;
  if (typeof type !== 'string') { return; }
  var rank = ranks.indexOf(type) < 0 ? type : ranks.indexOf(type);
  var name = typeof doc.name === 'string' || typeof doc.name === 'number' ? String(doc.name).toLowerCase() : undefined;
  var order = Boolean(doc.date_of_death) + ' ' + Boolean(doc.muted) + ' ' + rank + ' ' + name;
  var seen = {};
  function add(token) {
    if (token.length > 2 && !seen['token ' + token]) {
      seen['token ' + token] = true;
      emit([type, token], order);
    }
  }
  Object.keys(doc).forEach(function (property) {
    var key = property.toLowerCase();
    var value = doc[property];
    if (!value || skipped.indexOf(key) >= 0 || /_date$/.test(key)) { return; }
    if (typeof value === 'string') {
      value = value.toLowerCase();
      value.split(/\s+/).forEach(add);
      add(key + ':' + value);
    } else if (typeof value === 'number') {
      add(key + ':' + value);
    }
  });
}
