/* key: [type], translations ["translations", enabled], value: null, translations {code, name}.
   Read by web clients before 5: languages and forms. */
function (doc) {
  if (doc.type === 'translations') {
    emit(['translations', Boolean(doc.enabled)], { code: doc.code, name: doc.name });
  } else if (doc.type) {
    emit([doc.type], null);
  }
}
