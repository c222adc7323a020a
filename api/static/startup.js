'use strict';

// Shows how far the start is, and loads the address that was asked for once the server is there.
const POLL_MS = 1000;

const show = (actions) => {
  for (const [step, action] of Object.entries(actions)) {
    const item = document.getElementById(step);
    item.textContent = action.text + (action.completed ? ' ✓' : '');
    item.toggleAttribute('aria-current', Boolean(action.started) && !action.completed);
  }
};

const poll = async () => {
  try {
    const answer = await fetch('/api/v1/startup-progress', { headers: { Accept: 'application/json' } });
    const progress = await answer.json();
    if (progress.completed) {
      location.reload();
      return;
    }
    show(progress.actions);
  } catch {
    // The workers take over the address in this moment.
  }
  setTimeout(poll, POLL_MS);
};

setTimeout(poll, POLL_MS);
