"""Decodes pictures once, into a memory map that is found again by their content and their preparation.

Blocks of pictures are decoded by threads and written in order; no more than a few blocks are ever in memory.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import math
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import PIL
import psutil
import torch

from flambeau.data.cache_store import entries_folder, make_room, new_entry, open_entry
from flambeau.data.pictures.load import fit_pixels
from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.data.scans.scans import load_any
from flambeau.errors import DataError
from flambeau.records.files import NOT_ALLOWED
from flambeau.transforms.image import Interpolation, PictureFit
from flambeau.transforms.scan import ScanReading

Progress = Callable[[int, int], None]
Block = tuple[np.ndarray, list[tuple[int, str]]]

# Raised whenever the same file would give other pixels than before.
_VERSION = 2
_BLOCK = 32
_MEMORY_SHARE = 0.5
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class CachedPictures:
    """Pictures of one size, decoded.

    Args:
        pixels: (readable, height, width, channels) uint8 or uint16, a read-only memory map or an array in
            memory: the readable pictures in the order of the samples, without gaps.
        readable: (n,) whether the picture of each sample could be read.
        problems: (id, reason) of those that could not.
    """

    pixels: np.ndarray
    readable: np.ndarray
    problems: tuple[tuple[str, str], ...] = ()


def cached_pictures(
    samples: Samples,
    *,
    size: tuple[int, int],
    channels: int,
    bits: int = 8,
    resize: PictureFit = "stretch",
    interpolation: Interpolation = "bilinear",
    scan: ScanReading | None = None,
    max_pixels: int = 100_000_000,
    cache_gb: float = 20.0,
    progress: Progress | None = None,
    threads: int = 2,
) -> CachedPictures:
    """All pictures at one size, from the cache or decoded into it.

    An array that has the size already is given as it is. Without room in the cache (its cap, a full disk, a
    folder that cannot be written) the pictures are decoded into memory.

    Args:
        samples: with pictures and one digest a sample.
        size, channels, bits, resize, interpolation, max_pixels: see `load_picture`.
        scan: how scans are read; None for the usual way.
        cache_gb: how much disk the cache may take, in 10^9 bytes.
        progress: called with (pictures done, all pictures) after each block.
        threads: how many threads decode.

    Raises:
        DataError: no picture can be read, or there is room neither on the disk nor in memory.
        ValueError: the samples have no pictures or no digests.
    """
    dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)
    shape = (len(samples), *size, channels)
    source = samples.pictures
    if source is None:
        raise ValueError("samples: expected pictures, got a table")
    if isinstance(source, PictureArray) and source.pixels.shape == shape and source.pixels.dtype == dtype:
        return CachedPictures(source.pixels, np.ones(len(samples), dtype=bool))
    if len(samples.digests) != len(samples):
        raise ValueError(f"samples: expected {len(samples)} digests, got {len(samples.digests)}")
    options = {
        "size": size,
        "channels": channels,
        "bits": bits,
        "fit": resize,
        "interpolation": interpolation,
    }
    load = partial(_load_one, source, options=options, scan=scan, max_pixels=max_pixels)
    known = (*size, channels, bits, resize, interpolation, max_pixels)
    name = _entry_name(samples, known if scan is None else (*known, scan))
    decoded = partial(_decoded_blocks, load, shape, dtype, threads, progress)
    what = f"{len(samples):,} pictures, {size[0]} x {size[1]} px, channels {channels}, {bits} bits"
    found = open_entry(name, shape, dtype)
    if found is None:
        reason = _no_room(_bytes(shape, dtype), int(cache_gb * 1e9))
        if not reason:
            reason = _write_entry(name, shape, dtype, what, decoded)
            found = open_entry(name, shape, dtype)
    if found is None:
        return _in_memory(samples, shape, dtype, decoded, reason or "another run removed the entry")
    pixels, index = found
    return _result(samples, pixels, [(int(position), str(text)) for position, text in index["problems"]])


def _entry_name(samples: Samples, preparation: tuple[Any, ...]) -> str:
    """A name that changes with the pictures, their order, their preparation and the libraries that decode."""
    versions = (_VERSION, PIL.__version__, torch.__version__)
    digest = hashlib.blake2b(repr((versions, preparation)).encode(), digest_size=16)
    for one in samples.digests:
        digest.update(one.encode() + b"\n")
    return digest.hexdigest()


def _load_one(
    source: PictureFiles | PictureArray,
    position: int,
    *,
    options: dict[str, Any],
    scan: ScanReading | None,
    max_pixels: int,
) -> np.ndarray:
    if isinstance(source, PictureArray):
        return fit_pixels(source.pixels[position], **options)
    return load_any(source.path(position), scan=scan, max_pixels=max_pixels, **options)


def _decode_block(
    load: Callable[[int], np.ndarray], start: int, shape: tuple[int, ...], dtype: np.dtype
) -> Block:
    """The readable ones of up to 32 pictures from `start` on, and (position, reason) of the others."""
    count = min(_BLOCK, shape[0] - start)
    pixels = np.empty((count, *shape[1:]), dtype=dtype)
    problems = []
    filled = 0
    for position in range(start, start + count):
        try:
            pixels[filled] = load(position)
            filled += 1
        except (ValueError, OSError) as error:
            problems.append((position, str(error)))
    return pixels[:filled], problems


def _decoded_blocks(
    load: Callable[[int], np.ndarray],
    shape: tuple[int, ...],
    dtype: np.dtype,
    threads: int,
    progress: Progress | None,
) -> Iterator[Block]:
    """All blocks in order; at most four a thread are decoded ahead."""
    # Each worker resizes one picture at a time: threads of torch inside them would only fight for the cores.
    # The setting reaches threads that torch starts later too, so it is put back at the end.
    torch_threads = torch.get_num_threads()
    executor = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    starts = iter(range(0, shape[0], _BLOCK))
    waiting: deque[Future[Block]] = deque()
    done = 0
    try:
        while True:
            for start in itertools.islice(starts, 4 * threads - len(waiting)):
                waiting.append(executor.submit(_decode_block, load, start, shape, dtype))
            if not waiting:
                return
            block = waiting.popleft().result()
            yield block
            done += len(block[0]) + len(block[1])
            if progress is not None:
                progress(done, shape[0])
    finally:
        executor.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)


def _no_room(needed: int, limit: int) -> str:
    """Make room for an entry; a sentence where there is none."""
    if needed > limit:
        return f"the cache may take {limit / 1e9:.1f} GB (data.cache_gb)"
    make_room(needed, limit)
    folder = entries_folder()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return "" if needed < free else f"the disk of {folder} has {free / 1e9:.1f} GB left"


def _write_entry(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    what: str,
    decoded: Callable[[], Iterator[Block]],
) -> str:
    """Decode into a new entry; a sentence where the disk is full or may not be written."""
    problems: list[tuple[int, str]] = []
    index = {"what": what, "made": time.strftime("%Y-%m-%d %H:%M:%S"), "problems": problems}
    try:
        with new_entry(name, shape, dtype, index) as file:
            for pixels, block_problems in decoded():
                file.write(pixels.data)
                problems.extend(block_problems)
            _require_some(shape[0], problems)
    except OSError as error:
        if error.errno in _NO_SPACE:
            return f"the disk of {entries_folder()} is full"
        if error.errno in NOT_ALLOWED:
            return f"the folder {entries_folder()} cannot be written"
        raise DataError(
            "the cache of decoded pictures cannot be written",
            where=entries_folder(),
            got=str(error),
            expected="a folder on a disk of this machine; the variable FLAMBEAU_CACHE names another one",
            command="flambeau cache",
        ) from error
    return ""


def _in_memory(
    samples: Samples,
    shape: tuple[int, ...],
    dtype: np.dtype,
    decoded: Callable[[], Iterator[Block]],
    reason: str,
) -> CachedPictures:
    """Decode into memory, if that leaves half of what is free; DataError that tells what is needed if not."""
    needed = _bytes(shape, dtype)
    free = psutil.virtual_memory().available
    if needed > _MEMORY_SHARE * free:
        raise DataError(
            "there is no room for the decoded pictures",
            got=f"{needed / 1e9:.1f} GB are needed; {reason}; {free / 1e9:.1f} GB of memory are free",
            expected="room on the disk, a larger cache (data.cache_gb) or smaller pictures (image.size)",
            command="flambeau cache clear",
        )
    pixels = np.empty(shape, dtype=dtype)
    problems: list[tuple[int, str]] = []
    start = 0
    for block, block_problems in decoded():
        pixels[start : start + len(block)] = block
        problems.extend(block_problems)
        start += len(block)
    _require_some(shape[0], problems)
    return _result(samples, pixels[:start], problems)


def _bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _require_some(count: int, problems: list[tuple[int, str]]) -> None:
    if len(problems) == count:
        raise DataError(
            "none of the pictures can be read",
            got=problems[0][1] if problems else "no pictures",
            expected="JPEG, PNG, WebP, TIFF, BMP, GIF, DICOM or NIfTI files",
            command="flambeau check DATA",
        )


def _result(samples: Samples, pixels: np.ndarray, problems: list[tuple[int, str]]) -> CachedPictures:
    readable = np.ones(len(samples), dtype=bool)
    readable[[position for position, _ in problems]] = False
    return CachedPictures(pixels, readable, tuple((samples.ids[at], text) for at, text in problems))
