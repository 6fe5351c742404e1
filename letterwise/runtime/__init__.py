"""Where it runs: device, arithmetic, threads; found once, then handed along as a value."""
