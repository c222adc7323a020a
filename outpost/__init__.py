"""The `outpost` command and the supervisor: the only room that imports all the others."""
