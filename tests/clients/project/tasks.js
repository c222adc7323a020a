module.exports = [
  {
    name: 'net-check',
    icon: 'icon-net',
    title: 'task.net-check',
    appliesTo: 'reports',
    appliesToType: ['home_visit'],
    actions: [{ form: 'home_visit' }],
    events: [{ id: 'net-check', days: 30, start: 3, end: 7 }],
  },
];
