module.exports = {
  context: {},
  fields: [{ appliesToType: 'person', label: 'contact.phone', value: contact.phone, width: 6 }],
  cards: [],
};
