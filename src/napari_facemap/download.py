"""Files from the network that come whole or not at all, and go on where they were cut off."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import requests

Progress = Callable[[int, int], bool | None]

_CHUNK = 1 << 12  # what a cut connection can cost
_TRIES = 3  # in a row that bring nothing new
_TIMEOUT = (15, 60)  # seconds to connect, and without a byte


class DownloadError(OSError):
    """A file that could not be downloaded."""


class _CutOff(Exception):
    """A download that may go on when it is tried again."""


class DownloadStopped(Exception):
    """Somebody stopped a download; what had come stays, and the next one goes on from there."""


class ResumingDownloader:
    """What `pooch.retrieve` takes as ``downloader``, and which goes on with a cut download.

    What has come lies beside the file under its name and ``.part``, with what the server said of
    it in ``.part.json``, so that a file that has changed meanwhile is begun anew.

    Parameters
    ----------
    part : Path
        Where the part is kept, which outlives pooch's temporary file.
    progress : callable, optional
        Called with bytes that have come and in all (0 when unknown); when it returns False the
        download stops.
    """

    def __init__(self, part: Path, progress: Progress | None = None):
        self.part, self.progress = part, progress
        self._said = part.with_name(f"{part.name}.json")

    def __call__(self, url: str, output_file: str | IO[bytes], pooch: Any) -> None:
        """Download a file.

        Parameters
        ----------
        url : str
            Of the file.
        output_file : str or Path
            Where it is to be.
        pooch : object
            Of no use here.

        Raises
        ------
        DownloadError
            When the server cannot be reached or does not give the file.
        DownloadStopped
            When `progress` said so.
        """
        self.part.parent.mkdir(parents=True, exist_ok=True)
        tries, had = 0, self._had()
        while True:
            try:
                self._go_on(url)
                break
            except _CutOff as error:
                tries = 0 if self._had() > had else tries + 1
                had = self._had()
                if tries >= _TRIES:
                    raise DownloadError(f"{url}: {error}.") from error
        os.replace(self.part, str(output_file))
        self._said.unlink(missing_ok=True)

    def _had(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _go_on(self, url: str) -> None:
        """Ask for what is missing, and put it behind what is there."""
        known = self._known(url)
        had = self._had()
        headers = {"Accept-Encoding": "identity"}
        if had:
            headers |= {"Range": f"bytes={had}-", "If-Range": known["version"]}
        with closing(_ask(url, headers)) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable and had:
                # The whole file has come already, or it is another one now.
                if _total(answer) != had:
                    self._begin_anew("the file changed meanwhile")
                return
            if not answer.ok:
                raise DownloadError(
                    f"{url}: the server answered {answer.status_code} {answer.reason}."
                )
            goes_on, total = answer.status_code == requests.codes.partial_content, _total(answer)
            if goes_on and (_start(answer) != had or known.get("total") not in (None, 0, total)):
                self._begin_anew("the file changed meanwhile")
            self._note(url, answer, total)
            self._take(answer, had if goes_on else 0, total)
        if total and self._had() != total:
            raise _CutOff(f"cut off after {self._had()} of {total} bytes")

    def _take(self, answer: requests.Response, had: int, total: int) -> None:
        with self.part.open("ab" if had else "wb") as file:
            try:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    had += len(chunk)
                    if self.progress is not None and self.progress(had, total) is False:
                        raise DownloadStopped
            except requests.RequestException as error:
                raise _CutOff(f"cut off after {had} of {total or 'unknown'} bytes") from error
            file.flush()
            os.fsync(file.fileno())

    def _known(self, url: str) -> dict[str, Any]:
        """What the server said of the part; one of another address, or of who knows what, goes."""
        try:
            known = json.loads(self._said.read_text(encoding="utf-8"))
            if known["url"] == url and known["version"]:
                return dict(known)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self._forget()
        return {}

    def _note(self, url: str, answer: requests.Response, total: int) -> None:
        tag = answer.headers.get("ETag", "")
        # A weak one does not say that the bytes are the same.
        version = (
            answer.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
        )
        said = json.dumps({"url": url, "total": total, "version": version})
        self._said.write_text(said, encoding="utf-8")

    def _begin_anew(self, why: str) -> None:
        self._forget()
        raise _CutOff(why)

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self._said.unlink(missing_ok=True)


def _total(answer: requests.Response) -> int:
    """Bytes of the whole file; 0 when the server does not say."""
    found = re.search(r"/(\d+)$", answer.headers.get("Content-Range", ""))
    if found:
        return int(found[1])
    return int(answer.headers.get("Content-Length") or 0)


def _start(answer: requests.Response) -> int:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else 0


def _ask(url: str, headers: dict[str, str]) -> requests.Response:
    try:
        return requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
    except requests.RequestException as error:
        if isinstance(error, requests.exceptions.SSLError):
            why = "the server's certificate is not trusted"
        elif isinstance(error, requests.Timeout):
            why = "the server does not answer"
        elif isinstance(error, requests.ConnectionError):
            why = "the server cannot be reached"
        else:
            why = str(error)
        raise DownloadError(f"{url}: {why}.") from error
