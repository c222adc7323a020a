/* key: the id of each OpenRosa instance that a report was or is, of those that were edited; value: null.
   Read by core/xforms/edits.py. */
function (doc) {
  var openrosa = doc.openrosa;
  if (doc.type !== "data_record" || !openrosa || !Array.isArray(openrosa.instance_ids)) {
    return;
  }
  openrosa.instance_ids.forEach(function (id) {
    if (typeof id === "string") {
      emit(id, null);
    }
  });
}
