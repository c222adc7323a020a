/* key: [word or key:value], value: reported_date. Read by web clients and tools before 5: searching reports. */
function (doc) {
  var skipped = ['_id', '_rev', 'type', 'refid', 'content'];
  if (doc.type !== 'data_record' || !doc.form) { return; }
  var seen = {};
  function add(token) {
    if (token.length > 2 && !seen['token ' + token]) {
      seen['token ' + token] = true;
      emit([token], doc.reported_date);
    }
  }
  function addAll(source) {
    Object.keys(source).forEach(function (property) {
      var key = property.toLowerCase();
      var value = source[property];
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
  addAll(doc);
  if (doc.fields && typeof doc.fields === 'object') { addAll(doc.fields); }
  if (doc.contact && typeof doc.contact._id === 'string') { add('contact:' + doc.contact._id); }
}
