/* key: patient_id of a valid report as text, value: null. Read by web clients before 5: is this patient registered. */
function (doc) {
  if (doc.type !== 'data_record' || !doc.form || (doc.errors && doc.errors.length !== 0)) { return; }
  var id = doc.patient_id || (doc.fields && doc.fields.patient_id);
  if (id && (typeof id === 'string' || typeof id === 'number')) { emit(String(id), null); }
}
