"""The console at /admin: pages for the people who keep a deployment alive; docs/console.md tells how to add one."""
