"""Reading: where text comes from: files, folders, archives, addresses, data sets by name. As streams of code points."""
