/* The value with the greatest date: a conversation's newest message. */
function (keys, values) {
  var newest = { date: 0 };
  values.forEach(function (value) {
    if (value && value.date > newest.date) { newest = value; }
  });
  return newest;
}
