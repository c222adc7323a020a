/* key: DHIS2 orgUnit, value: null. Read by api and the admin pages: the place behind an organisation unit. */
function (doc) {
  var types = ['contact', 'person', 'clinic', 'health_center', 'district_hospital'];
  if (types.indexOf(doc.type) < 0 || !doc.dhis) { return; }
  [].concat(doc.dhis).forEach(function (dhis) {
    if (dhis && dhis.orgUnit) { emit(dhis.orgUnit, null); }
  });
}
