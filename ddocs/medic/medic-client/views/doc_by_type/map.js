/* key: [type] of forms and user settings only, value: null. Read by command-line tools: backing up forms. */
function (doc) {
  if (doc.type === 'form' || doc.type === 'user-settings') {
    emit([doc.type], null);
  }
}
