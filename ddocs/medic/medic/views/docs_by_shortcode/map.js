/* key: shortcode as text, value: null. Read by sentinel: is a new shortcode free? */
function (doc) {
  [doc.place_id, doc.patient_id, doc.case_id].forEach(function (code) {
    if (code && (typeof code === 'string' || typeof code === 'number')) { emit(String(code), null); }
  });
}
