"""Data that have a name: built in, on the disk, or downloaded."""
