"""Report: the page that a finished run leaves behind, and its chart."""
