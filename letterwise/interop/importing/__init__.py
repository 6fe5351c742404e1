"""Importing: a checkpoint of another program as a model file. A file for each origin."""
