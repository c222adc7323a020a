/* key: the last six digits of a contact's phone (all of them when there are fewer), value: null.
   Read by api: the contacts of a number, however it was written when it was stored. */
function (doc) {
  var types = ['contact', 'person', 'clinic', 'health_center', 'district_hospital'];
  if (types.indexOf(doc.type) < 0 || (typeof doc.phone !== 'string' && typeof doc.phone !== 'number')) { return; }
  var digits = String(doc.phone).replace(/[^0-9]/g, '');
  if (digits) {
    emit(digits.slice(-6), null);
  }
}
