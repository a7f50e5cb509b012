"""What exceptions and strangers' names become on a terminal: one line, nothing to obey."""

import pytest

from xferlearn.system.text import one_line, printable


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("two\n  lines\tof it "), "two lines of it"),
        (ValueError(""), "ValueError"),
        (RuntimeError(" \n"), "RuntimeError"),
        (OSError(28, "No space left on device", "/disk/report.json"), "No space left on device"),
        (OSError("can't open (file signature not found)"), "can't open (file signature not found)"),
        (KeyError("format_version"), "'format_version'"),
        (ValueError("\x1b[31mred\x07 \u202eevil"), "\N{REPLACEMENT CHARACTER}[31mred"
         "\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}evil"),
        # As TensorFlow 2.21 says it, at once and from a traced function.
        (ValueError("{{function_node __wrapped__DecodeJpeg_device_/job:localhost/device:CPU:0}}"
                    " Input is empty. [Op:DecodeJpeg] name: "), "Input is empty."),
        (ValueError("{{function_node __inference_decode_5}} Invalid PNG data, size 7\n\t"
                    " [[{{node decode_image/DecodeImage}}]] [Op:__inference_decode_5]"),
         "Invalid PNG data, size 7"),
        (ValueError("Graph execution error:\n\nDetected at node a/Jpeg defined at (most recent call"
                    ' last):\n  File "a.py", line 8, in <module>\n\n  File "b.py", line 1, in f\n\n'
                    "Invalid JPEG data.\n\t [[{{node a/Jpeg}}]] [Op:__inference_decode_329]"),
         "Invalid JPEG data."),
        (ValueError("Graph execution error:\n\nDetected at node a defined at (most recent call"
                    " last):\n<stack traces unavailable>\nout of memory\n [[{{node a}}]]"),
         "out of memory"),
        (ValueError("shape [[1, 2]] of {3}"), "shape [[1, 2]] of {3}"),
        ({"image": 1}, "{'image': 1}"),
    ],
)  # fmt: skip
def test_an_error_becomes_one_safe_line(error: object, said: str) -> None:
    assert one_line(error) == said


def test_a_file_is_named_where_the_message_around_does_not() -> None:
    error = FileNotFoundError(2, "No such file or directory", "photo.jpg")
    assert one_line(error) == "No such file or directory"
    assert one_line(error, with_file=True) == "No such file or directory: 'photo.jpg'"
    assert one_line(OSError(28, "Disk full"), with_file=True) == "Disk full"
    assert one_line(MemoryError(), with_file=True) == "MemoryError"


def test_long_text_is_cut_where_it_says_so() -> None:
    assert one_line(ValueError("a" * 1000)) == "a" * 197 + "..."
    assert one_line(ValueError("a" * 1000), 20) == "a" * 17 + "..."
    assert printable("b" * 160) == "b" * 160
    assert printable("b" * 161) == "b" * 157 + "..."


def test_names_of_every_script_stay_as_they_are() -> None:
    name = "Gänseblümchen 雛菊 ромашка.jpg"
    assert printable(name) == name
    assert printable("a\nb\udcff") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
