"""Who may have which document: pure rules, and an index of the whole database that answers them in bulk."""
