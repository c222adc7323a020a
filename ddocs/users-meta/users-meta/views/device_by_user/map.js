/* key: [user, device id], value: {date, id, device}. Read by api: the device export. */
function (doc) {
  var about = doc.metadata;
  if (doc.type !== 'telemetry' || !about) { return; }
  function pad(number) {
    var known = typeof number === 'number' || typeof number === 'string';
    return known ? (String(number).length < 2 ? '0' : '') + number : '';
  }
  var day = [about.year, about.month, about.day].map(pad);
  if (!about.user || !about.deviceId || !day.every(Boolean)) { return; }
  var device = doc.device || {};
  var versions = device.versions || {};
  var summary = {
    userAgent: device.userAgent,
    versions: { apk: versions.apk, android: versions.android, cht: versions.cht, settings: versions.settings }
  };
  if (device.storage) {
    summary.storage = { free: device.storage.free, total: device.storage.total };
  }
  emit([about.user, about.deviceId], {
    date: day.join('-'),
    id: doc._id,
    device: summary
  });
}
