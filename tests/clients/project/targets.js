module.exports = [
  {
    id: 'home-visits',
    type: 'count',
    icon: 'icon-net',
    goal: 10,
    translation_key: 'target.home-visits',
    appliesTo: 'reports',
    appliesToType: ['home_visit'],
    date: 'reported',
  },
];
