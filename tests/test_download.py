from __future__ import annotations

import hashlib
import socket

import pooch
import pytest

from napari_facemap.download import DownloadError, DownloadStopped, ResumingDownloader

CONTENT = bytes(range(256)) * 2000  # some chunks


@pytest.fixture
def server(serve):
    return serve({"file": CONTENT})


@pytest.fixture
def fetch(server, tmp_path):
    """Download the server's file."""

    def fetch(progress=None):
        target = tmp_path / "file"
        ResumingDownloader(tmp_path / "file.part", progress)(f"{server.url}/file", target, None)
        return target.read_bytes()

    return fetch


def test_a_file_comes_with_progress_and_leaves_nothing_else(fetch, server, tmp_path):
    calls = []
    assert fetch(lambda *call: calls.append(call)) == CONTENT
    assert calls[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert server.asked == [("file", None)]


def test_a_connection_that_is_cut_goes_on_where_it_was(fetch, server):
    server.cut_after = [98_304, 49_152]
    assert fetch() == CONTENT
    assert server.asked == [("file", None), ("file", "bytes=98304-"), ("file", "bytes=147456-")]


def test_a_server_that_cuts_for_ever_is_given_up_and_the_part_stays(fetch, server, tmp_path):
    server.cut_after = [4096, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"/file: cut off after 4096 of 512000 bytes"):
        fetch()
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:4096]
    assert not (tmp_path / "file").exists()
    server.cut_after.clear()
    server.asked.clear()
    assert fetch() == CONTENT
    assert server.asked == [("file", "bytes=4096-")]


def test_a_stopped_download_goes_on_later(fetch, server):
    with pytest.raises(DownloadStopped):
        fetch(lambda done, total: done < 200_000)
    server.asked.clear()
    assert fetch() == CONTENT
    ((_, wanted),) = server.asked
    assert int(wanted.removeprefix("bytes=").rstrip("-")) >= 200_000


def test_a_file_that_changed_meanwhile_is_begun_anew(fetch, server):
    server.cut_after = [4096, 0, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch()
    server.cut_after.clear()
    server.files["file"], server.version = CONTENT[::-1], '"two"'
    assert fetch() == CONTENT[::-1]


@pytest.mark.parametrize("how", [{"ranges": False}, {"version": ""}, {"version": 'W/"weak"'}])
def test_a_server_that_cannot_go_on_is_asked_for_all_of_it(fetch, server, how):
    for name, value in how.items():
        setattr(server, name, value)
    server.cut_after = [4096]
    assert fetch() == CONTENT


def test_a_part_that_is_the_whole_is_enough(fetch, server, tmp_path):
    server.cut_after = [len(CONTENT) - 1, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch()
    with (tmp_path / "file.part").open("ab") as part:
        part.write(CONTENT[part.tell() :])
    server.cut_after.clear()
    assert fetch() == CONTENT


def test_a_part_of_another_address_is_not_gone_on_with(fetch, server, tmp_path):
    server.cut_after = [4096, 0, 0, 0, 0]
    server.files["other"] = CONTENT[::-1]
    with pytest.raises(DownloadError):
        fetch()
    server.cut_after.clear()
    loader = ResumingDownloader(tmp_path / "file.part")
    loader(f"{server.url}/other", tmp_path / "other", None)
    assert (tmp_path / "other").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_the_server_says_is_passed_on(fetch, server, status, tmp_path):
    server.status = status
    with pytest.raises(DownloadError, match=rf"/file: the server answered {status} \w+"):
        fetch()
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_one_line_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    loader = ResumingDownloader(tmp_path / "file.part")
    with pytest.raises(DownloadError, match="the server cannot be reached") as error:
        loader(f"http://127.0.0.1:{port}/file", tmp_path / "file", None)
    assert "\n" not in str(error.value)


def test_pooch_takes_it(server, tmp_path):
    server.cut_after = [4096]
    loader = ResumingDownloader(tmp_path / "file.part")
    path = pooch.retrieve(f"{server.url}/file", None, "file", tmp_path, downloader=loader)
    assert pooch.file_hash(path) == hashlib.sha256(CONTENT).hexdigest()
