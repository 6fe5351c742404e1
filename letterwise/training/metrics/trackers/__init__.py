"""Trackers: a file for each program that shows runs. Its name is what --tracker takes, and the extra with its library."""
