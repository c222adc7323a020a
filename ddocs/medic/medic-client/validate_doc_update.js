/* Refuses purged stubs, anonymous writes, edits of admin-only documents and of one's own place; keeps forms and user
   settings in shape, and roles as the server set them. Run by CouchDB and by phones on every write: the only write
   rule of the database, for each one more costs CouchDB as much again. */
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
  function checkId(prefix, example) {
    var hint = ' e.g. "' + prefix + example + '"';
    var id = String(newDoc._id);
    if (id.indexOf(prefix) !== 0) {
      refuse('_id property must be prefixed with "' + prefix + '".' + hint);
    }
    if (id.length === prefix.length) {
      refuse('_id property must define a value after "' + prefix + '".' + hint);
    }
    if (id !== id.toLowerCase()) {
      refuse('_id property must be lower case.' + hint);
    }
  }
  function checkUserSettings() {
    checkId('org.couchdb.user:', 'sally');
    if (newDoc.name !== newDoc._id.slice('org.couchdb.user:'.length)) {
      refuse('name property must be the user name in _id. e.g. "sally" for "org.couchdb.user:sally"');
    }
    if (newDoc.known !== undefined && typeof newDoc.known !== 'boolean') {
      refuse('known property must be true or false');
    }
    if (!Array.isArray(newDoc.roles)) {
      refuse('roles property must be a list of role names');
    }
    if (!oldDoc || oldDoc._deleted) {
      refuse('You are not authorized to create user-settings');
    }
    if (JSON.stringify(newDoc.roles) !== JSON.stringify(oldDoc.roles)) {
      refuse('You are not authorized to edit roles');
    }
  }

  // Only a phone's context carries facility_id. A phone keeps purged stubs, and gets forms and settings by replication;
  // on the server users may edit their own place.
  var onPhone = Boolean(userCtx && userCtx.facility_id);
  if (newDoc.purged && !onPhone) {
    refuse('Purged documents should not be written to CouchDB!');
  }
  if (!userCtx || (!userCtx.name && !onPhone)) {
    refuse('You must be logged in to edit documents');
  }
  if (isAdmin()) {
    return;
  }
  if (!onPhone && (isAdminOnly(newDoc) || isAdminOnly(oldDoc))) {
    refuse('You are not authorized to edit admin only docs');
  }
  if (onPhone && (userCtx.facility_id === newDoc._id || within(userCtx.facility_id, newDoc._id))) {
    refuse('You are not authorized to edit your own place');
  }
  if (newDoc._deleted) {
    return;
  }
  if (newDoc.type === 'form') {
    checkId('form:', 'registration');
  }
  if (newDoc.type === 'user-settings') {
    checkUserSettings();
  }
}
