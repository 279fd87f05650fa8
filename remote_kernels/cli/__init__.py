"""Commands of the shell: the only part of the package that prints."""
