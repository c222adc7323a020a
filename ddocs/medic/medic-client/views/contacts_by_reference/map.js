/* key: ["shortcode", code] and ["external", RC_CODE], value: reported_date.
   Read by api, sentinel and web client: the contact a code means. */
function (doc) {
  var types = ['contact', 'person', 'clinic', 'health_center', 'district_hospital', 'national_office'];
  if (types.indexOf(doc.type) < 0) { return; }
  function reference(kind, code) {
    if (code && (typeof code === 'string' || typeof code === 'number')) {
      emit([kind, kind === 'external' ? String(code).toUpperCase() : String(code)], doc.reported_date);
    }
  }
  reference('shortcode', doc.place_id);
  reference('shortcode', doc.patient_id);
  reference('external', doc.rc_code);
}
