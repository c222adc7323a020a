// A phone: a local PouchDB that replicates with the server, driven by lines of JSON on standard input.
// Usage: node phone.js URL USER PASSWORD. Each command answers with one line of JSON.
const readline = require('readline');
const PouchDB = require('pouchdb').plugin(require('pouchdb-adapter-memory'));

const [url, name, password] = process.argv.slice(2);
const remote = new PouchDB(url, { auth: { username: name, password }, skip_setup: true });
const local = new PouchDB(`phone-${process.pid}`, { adapter: 'memory' });
let sync = null;
const events = [];

function startSync() {
  sync = local.sync(remote, { live: true, retry: true, back_off_function: () => 200, heartbeat: 5000 });
  sync.on('denied', denied => events.push({ denied: (denied.doc && (denied.doc.id || denied.doc._id)) || null }));
  sync.on('error', error => events.push({ error: String(error) }));
}

// PouchDB leaves a request that broke off uncaught in places. A browser goes on after that, and so does a phone,
// whose app starts the sync again.
process.on('unhandledRejection', error => {
  events.push({ uncaught: String(error) });
  if (!sync || sync.restarting) { return; }
  sync.restarting = true;
  sync.cancel();
  setTimeout(() => { if (sync) { startSync(); } }, 300);
});

const commands = {
  async pull({ anew }) {
    const options = anew ? { since: 0, checkpoint: false } : {};
    const result = await local.replicate.from(remote, { batch_size: 100, ...options });
    return { read: result.docs_read, written: result.docs_written, ok: result.ok };
  },
  async push() {
    const result = await local.replicate.to(remote);
    return {
      written: result.docs_written,
      refused: result.doc_write_failures,
      errors: (result.errors || []).map(error => ({ id: error.id, name: error.name, status: error.status })),
    };
  },
  async live() {
    startSync();
    return { live: true };
  },
  async stop() {
    if (sync) { sync.cancel(); sync = null; }
    return { live: false };
  },
  async ids() {
    const result = await local.allDocs();
    return { ids: result.rows.map(row => row.id) };
  },
  async get({ id }) {
    try { return { doc: await local.get(id) }; } catch (error) { return { missing: true }; }
  },
  async put({ doc }) {
    return await local.put(doc);
  },
  async remotePut({ doc }) {
    try { return await remote.put(doc); } catch (error) { return { status: error.status, name: error.name }; }
  },
  async events() {
    return { events: events.splice(0) };
  },
};

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', async line => {
  const request = JSON.parse(line);
  let answer;
  try { answer = await commands[request.command](request); }
  catch (error) { answer = { failed: String(error && (error.reason || error.message) || error), status: error && error.status }; }
  process.stdout.write(JSON.stringify(answer) + '\n');
});
lines.on('close', () => process.exit(0));
