"""For authors of plugins: the audit of environments behind `gym check`, and the templates behind `gym new`."""
