/* key: [form, field, value], form and value in lower case, at most 100 characters of the value; value: null.
   Reports without errors. Read by sentinel: the validations `unique`, `uniqueWithin` and `exists`. */
function (doc) {
  if (doc.type !== 'data_record' || typeof doc.form !== 'string' || !doc.form) { return; }
  if (Array.isArray(doc.errors) && doc.errors.length) { return; }
  var form = doc.form.toLowerCase();
  var fields = doc.fields && typeof doc.fields === 'object' && !Array.isArray(doc.fields) ? doc.fields : {};
  function index(source, name) {
    var value = source[name];
    var kind = typeof value;
    if (name.charAt(0) === '_' || (kind !== 'string' && kind !== 'number' && kind !== 'boolean')) { return; }
    var text = String(value).toLowerCase().slice(0, 100).replace(/[\uD800-\uDBFF]$/, '');
    if (text) { emit([form, name, text], null); }
  }
  Object.keys(fields).forEach(function (name) { index(fields, name); });
  Object.keys(doc).forEach(function (name) {
    if (fields[name] === undefined) { index(doc, name); }
  });
}
