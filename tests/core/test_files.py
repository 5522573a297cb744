"""Files appear whole or not at all, also where the process that writes them is killed, or two write the same."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from keras_t2i.core.files import check_room, write_file, written, written_atomically

KILLED = """
import os, signal, sys
from keras_t2i.core.files import written, written_atomically
if sys.argv[2] == "file":
    with written(sys.argv[1]) as beside:
        beside.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
with written_atomically(sys.argv[1], "marker") as folder:
    (folder / "marker").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks on directories")
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path, kind):
    target = tmp_path / "target"

    def write(text):
        if kind == "file":
            write_file(target, text)
        else:
            with written_atomically(target, "marker") as folder:
                (folder / "marker").write_text(text)

    def read():
        return (target if kind == "file" else target / "marker").read_text()

    write("old")
    process = subprocess.run([sys.executable, "-c", KILLED, str(target), kind], check=False)
    assert process.returncode == -9
    assert read() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    write("new")
    assert read() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_what_another_one_is_writing_is_left_alone(tmp_path):
    target = tmp_path / "target"
    with written(target) as first:
        first.write_text("first")
        with written(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
        assert first.read_text() == "first"
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_many_at_once_write_the_same_file_whole(tmp_path):
    target, wrong = tmp_path / "target", []
    texts = [str(number) * 10_000 for number in range(4)]

    def write(text):
        try:
            for _ in range(50):
                write_file(target, text)
                assert target.read_text() in texts
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert list(tmp_path.iterdir()) == [target]


def test_a_directory_takes_the_place_of_another_at_once(tmp_path):
    target, missing = tmp_path / "target", []
    for _ in range(2):
        with written_atomically(target, "marker") as folder:
            (folder / "marker").write_text("")
    done = threading.Event()

    def watch():
        while not done.is_set():
            if not target.exists():
                missing.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(50):
        with written_atomically(target, "marker") as folder:
            (folder / "marker").write_text("")
    done.set()
    watcher.join()
    assert not missing or sys.platform != "linux"


def test_room_that_there_is_not_is_an_error_ahead(tmp_path):
    check_room(tmp_path, 1000)
    with pytest.raises(OSError, match=r"No space|too large"):
        check_room(tmp_path, 2**60)
    assert not list(tmp_path.iterdir())
