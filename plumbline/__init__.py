"""The command line: thin, imports the other packages only inside its commands; nobody imports it."""
