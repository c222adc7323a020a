/* key: phone, value: null. Read by api and sentinel (who sent this SMS) and the web client (is this phone taken). */
function (doc) {
  var types = ['contact', 'person', 'clinic', 'health_center', 'district_hospital'];
  if (types.indexOf(doc.type) >= 0 && doc.phone) {
    emit(doc.phone, null);
  }
}
