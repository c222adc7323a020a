/* The value with the greatest date: what the device said last. */
function (keys, values) {
  return values.reduce(function (newest, value) {
    return value.date > newest.date ? value : newest;
  });
}
