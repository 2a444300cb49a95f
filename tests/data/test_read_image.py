"""Every common format gives the pixels it should, and no bad file gives anything but a ValueError."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flambeau.data.pictures.image import decode_picture, picture_loses_depth, picture_size

RED, WHITE = (255, 0, 0), (255, 255, 255)


def save(folder: Path, name: str, image: Image.Image, **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def png(width: int, height: int, *, bits: int, colour_type: int, rows: bytes) -> bytes:
    header = struct.pack(">2I5B", width, height, bits, colour_type, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".jpg"])
def test_every_format_keeps_colour_and_size(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path, f"red{suffix}", Image.new("RGB", (6, 4), RED))
    assert picture_size(path) == (4, 6, 3, 8)
    pixels = decode_picture(path, channels=3, bits=8)
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - RED).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_of_white_is_white(tmp_path: Path, mode: str) -> None:
    suffix = ".jpg" if mode == "CMYK" else ".png"
    path = save(tmp_path, f"white{suffix}", Image.new("L", (5, 5), 255).convert(mode))
    for channels in (1, 3):
        assert decode_picture(path, channels=channels, bits=8).min() >= 254
    assert picture_size(path)[2] == (1 if mode in ("1", "L", "LA", "P") else 3)


def test_a_palette_of_colours_is_colour(tmp_path: Path) -> None:
    path = save(tmp_path, "red.png", Image.new("RGB", (5, 5), RED).convert("P"))
    assert picture_size(path)[2] == 3
    assert decode_picture(path, channels=3, bits=8)[0, 0].tolist() == list(RED)


def test_transparent_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    pixels = decode_picture(save(tmp_path, "clear.png", image), channels=3, bits=8)
    assert pixels[0].tolist() == [[255, 255, 255], [0, 0, 0]]


def test_exif_orientation_turns_pixels_and_size(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), WHITE)
    image.paste(RED, (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path, "turned.jpg", image, exif=exif, quality=95)
    assert picture_size(path)[:2] == (64, 32)
    pixels = decode_picture(path, channels=3, bits=8)
    assert pixels.shape == (64, 32, 3)
    assert pixels[8, 16, 1] < 30 < 220 < pixels[56, 16, 1]


def test_sixteen_bits_are_kept_and_changed_only_when_asked(tmp_path: Path) -> None:
    values = np.array([[0, 256, 65535]], dtype=np.uint16)
    for name in ("deep.png", "deep.tif"):
        path = save(tmp_path, name, Image.fromarray(values))
        assert picture_size(path) == (1, 3, 1, 16)
        assert decode_picture(path, channels=1, bits=16)[:, :, 0].tolist() == values.tolist()
        assert decode_picture(path, channels=3, bits=8)[0].tolist() == [[0] * 3, [1] * 3, [255] * 3]
    shallow = save(tmp_path, "shallow.png", Image.fromarray(np.array([[0, 255]], dtype=np.uint8)))
    assert decode_picture(shallow, channels=1, bits=16)[0, :, 0].tolist() == [0, 65535]


def test_floating_point_and_integer_tiff_become_sixteen_bits(tmp_path: Path) -> None:
    unit = save(tmp_path, "unit.tif", Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32)))
    wide = save(tmp_path, "wide.tif", Image.fromarray(np.array([[-5, 70_000]], dtype=np.int32)))
    for path in (unit, wide):
        assert decode_picture(path, channels=1, bits=16)[0, :, 0].tolist() == [0, 65535]


def test_deep_colour_is_told_as_lost(tmp_path: Path) -> None:
    data = png(1, 1, bits=16, colour_type=2, rows=b"\0" + struct.pack(">3H", 0x1234, 0, 0))
    assert picture_loses_depth(io.BytesIO(data))
    assert decode_picture(io.BytesIO(data), channels=3, bits=8)[0, 0, 0] == 0x12
    assert not picture_loses_depth(save(tmp_path, "plain.png", Image.new("RGB", (1, 1))))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in (RED, WHITE)]
    path = save(tmp_path, "moving.gif", frames[0], save_all=True, append_images=frames[1:])
    assert decode_picture(path, channels=3, bits=8)[0, 0].tolist() == list(RED)


def test_large_jpeg_is_decoded_smaller_but_never_below_the_size(tmp_path: Path) -> None:
    path = save(tmp_path, "large.jpg", Image.effect_noise((400, 300), 50).convert("RGB"))
    assert decode_picture(path, channels=3, bits=8).shape == (300, 400, 3)
    assert decode_picture(path, channels=3, bits=8, size=(70, 100)).shape == (75, 100, 3)
    assert decode_picture(path, channels=3, bits=8, size=(151, 151)).shape == (300, 400, 3)


def test_bytes_in_memory_are_as_good_as_a_file(tmp_path: Path) -> None:
    path = save(tmp_path, "noise.png", Image.effect_noise((9, 7), 90))
    expected = decode_picture(path, channels=1, bits=8)
    assert np.array_equal(decode_picture(io.BytesIO(path.read_bytes()), channels=1, bits=8), expected)


def test_too_many_pixels_are_refused_before_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(20_000, 20_000, bits=1, colour_type=0, rows=b""))
    assert picture_size(path)[:2] == (20_000, 20_000)
    with pytest.raises(ValueError, match=r"huge\.png.*400,000,000 pixels, more than the limit"):
        decode_picture(path, channels=1, bits=8)
    dot = save(tmp_path, "dot.png", Image.new("1", (1, 1)))
    assert decode_picture(dot, channels=1, bits=8, max_pixels=1).shape == (1, 1, 1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif", ".bmp"])
def test_truncated_files_name_themselves(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path, f"cut{suffix}", Image.effect_noise((90, 90), 90).convert("RGB"))
    data = path.read_bytes()
    for share in (0.02, 0.3, 0.6):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ValueError, match=f"cut{suffix}: "):
            decode_picture(path, channels=3, bits=8)


def test_text_and_empty_files_and_absent_ones(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("these are my notes on the pictures")
    with pytest.raises(ValueError, match=r"notes\.jpg: not a picture but text"):
        picture_size(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="the file is empty"):
        picture_size(path)
    with pytest.raises(FileNotFoundError):
        picture_size(tmp_path / "absent.png")
