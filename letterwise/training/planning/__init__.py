"""Planning: what fits this machine: the best use of the minutes, the memory, the threads."""
