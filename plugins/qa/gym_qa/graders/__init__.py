"""Graders: whether a reply is right, each a function of the reply and of what is expected."""
