"""What runs inside a render's child process, before and instead of a renderer: imports little, trusts nothing that it reads."""
