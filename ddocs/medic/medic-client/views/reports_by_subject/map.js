/* key: id or shortcode of the subject as text, value: reported_date.
   Read by api, sentinel, web client and tools: reports about a contact. */
function (doc) {
  if (doc.type !== 'data_record' || !doc.form) { return; }
  function subject(source, name) {
    var id = source && source[name];
    if (id && (typeof id === 'string' || typeof id === 'number')) { emit(String(id), doc.reported_date); }
  }
  ['patient_id', 'place_id', 'case_id'].forEach(function (name) {
    subject(doc, name);
    subject(doc.fields, name);
  });
  subject(doc.fields, 'patient_uuid');
  subject(doc.fields, 'place_uuid');
}
