/* key: [day, user], value: number of failures. Read by api: monitoring failed replications. */
function (doc) {
  var days = doc.daily_failures;
  if (doc._id.indexOf('replication-fail-') !== 0 || !days || typeof days !== 'object') { return; }
  Object.keys(days).forEach(function (day) {
    emit([day, doc.user], days[day]);
  });
}
