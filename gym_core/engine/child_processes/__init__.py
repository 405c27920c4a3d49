"""Child processes: started, spoken to, kept no longer than their parent, ended with all that they have started."""
