"""What a run leaves behind: its folder (`folder`), atomic writes (`files`), its digests and its machine."""

from flambeau.records.environment import environment
from flambeau.records.files import (
    atomic_file,
    digest_file,
    saving,
    to_json,
    write_bytes,
    write_json,
    write_text,
)
from flambeau.records.folder import RunFolder, check_free
from flambeau.records.runs import RunRow, find_run, is_run, list_runs, nearest_run, newest_runs

__all__ = [
    "RunFolder",
    "RunRow",
    "atomic_file",
    "check_free",
    "digest_file",
    "environment",
    "find_run",
    "is_run",
    "list_runs",
    "nearest_run",
    "newest_runs",
    "saving",
    "to_json",
    "write_bytes",
    "write_json",
    "write_text",
]
