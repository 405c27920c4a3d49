"""Plugins in environments of their own, each in a child process, used as if they were installed here."""
