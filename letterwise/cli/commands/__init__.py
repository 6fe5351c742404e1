"""Commands: one file each, a form over one public function: `add_flags` and `run`."""
