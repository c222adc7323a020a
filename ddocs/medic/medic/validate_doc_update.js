/* Refuses purged stubs, anonymous writes, and edits of admin-only documents or of one's own place.
   Run by CouchDB on every write. */
function (newDoc, oldDoc, userCtx, secObj) {
  var ADMIN_ONLY_IDS = [
    'resources', 'service-worker-meta', 'zscore-charts', 'settings', 'branding', 'partners',
    'privacy-policies', 'extension-libs', 'migration-log'
  ];
  var ADMIN_ONLY_TYPES = ['form', 'translations', 'token_login', 'ui-extension'];

  function refuse(reason) {
    throw ({ forbidden: reason });
  }
  function within(list, value) {
    return Array.isArray(list) && list.indexOf(value) >= 0;
  }
  function isAdmin() {
    var admins = (secObj && secObj.admins) || {};
    var roles = Array.isArray(userCtx.roles) ? userCtx.roles : [];
    return within(roles, '_admin') || within(admins.names, userCtx.name) ||
      roles.some(function (role) { return within(admins.roles, role); });
  }
  function isAdminOnly(doc) {
    return Boolean(doc) && (String(doc._id).indexOf('_design/') === 0 ||
      within(ADMIN_ONLY_IDS, doc._id) || within(ADMIN_ONLY_TYPES, doc.type));
  }

  if (newDoc.purged) {
    refuse('Purged documents should not be written to CouchDB!');
  }
  if (!userCtx || !userCtx.name) {
    refuse('You must be logged in to edit documents');
  }
  if (isAdmin()) {
    return;
  }
  if (isAdminOnly(newDoc) || isAdminOnly(oldDoc)) {
    refuse('You are not authorized to edit admin only docs');
  }
  // Only a phone's context carries facility_id: on the server users may edit their own place.
  if (userCtx.facility_id && (userCtx.facility_id === newDoc._id || within(userCtx.facility_id, newDoc._id))) {
    refuse('You are not authorized to edit your own place');
  }
}
