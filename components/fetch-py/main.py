"""Fetches a page through wasi:http and prints it: `fetch-py URL`.

Nothing of ours is in it: componentize-py puts this file and a Python interpreter into a component, with bindings
generated from the WIT of wasi:http (wit_world) and an asyncio loop over wasi:io/poll (poll_loop).
"""

import asyncio
import sys
from urllib.parse import urlsplit

import poll_loop
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import Fields, OutgoingRequest, Scheme_Http, Scheme_Https

SCHEMES = {"http": Scheme_Http(), "https": Scheme_Https()}


def request(url):
    """Raises ValueError where it is no URL that can be asked for."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ValueError("not an http or https URL")
    query = f"?{parts.query}" if parts.query else ""
    made = OutgoingRequest(Fields())
    made.set_scheme(SCHEMES[parts.scheme])
    made.set_authority(parts.netloc)
    made.set_path_with_query((parts.path or "/") + query)
    return made


async def fetch_and_print(url):
    response = await poll_loop.send(request(url))
    status = response.status()
    if not 200 <= status <= 299:
        raise ValueError(f"status {status}")
    body = poll_loop.Stream(response.consume())
    while (chunk := await body.next()) is not None:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


class Run(exports.Run):
    """wasi:cli/run: an error makes the exit code 1."""

    def run(self):
        if len(sys.argv) != 2:
            print("usage: fetch-py URL", file=sys.stderr)
            raise Err(None)
        url = sys.argv[1]
        loop = poll_loop.PollLoop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(fetch_and_print(url))
        except (ValueError, OSError) as error:
            print(f"fetch-py: {url}: {error}", file=sys.stderr)
            raise Err(None)
        except Err as error:
            # A case of error-code, stream-error or nothing at all: its class has the case's name.
            print(f"fetch-py: {url}: {type(error.value).__name__}", file=sys.stderr)
            raise Err(None)
