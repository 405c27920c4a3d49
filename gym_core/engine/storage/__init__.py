"""The files of a run: written, resumed, summed up."""
