"""XForms: reading them safely, converting them for browsers, and turning filled instances into documents."""
