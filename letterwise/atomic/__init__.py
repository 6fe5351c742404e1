"""Atomic: what reaches the disk is all of it or none of it. `file` replaces a file, `folder` several files together."""

from letterwise.atomic.file import STDOUT, remove_leftovers, replacing, sync_directory, write_bytes
from letterwise.atomic.folder import replacing_folder

__all__ = ["STDOUT", "remove_leftovers", "replacing", "replacing_folder", "sync_directory", "write_bytes"]
