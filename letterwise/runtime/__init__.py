"""Runtime: device, arithmetic and threads; found once, then passed on as a value."""
