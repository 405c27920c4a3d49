"""An index of a run's files, so that a million rows are sorted, filtered and paged without being read again."""
