/* key: [field, value] for contact_id, oidc_username and each facility_id, value: null.
   Read by api: the users of a place or contact. */
function (doc) {
  if (doc.contact_id) { emit(['contact_id', doc.contact_id], null); }
  if (doc.oidc_username) { emit(['oidc_username', doc.oidc_username], null); }
  [].concat(doc.facility_id).forEach(function (facility) {
    if (facility) { emit(['facility_id', facility], null); }
  });
}
