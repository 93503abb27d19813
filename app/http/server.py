"""uvicorn's server, stopped without losing a client: not in the backlog, not while connecting."""

import asyncio
import ctypes
import os
import socket
import struct
import sys
from contextlib import suppress

import uvicorn

from app.http.protocol import DeadlineProtocol

# From "no new connections" to the end of listening: what is half-way into a connection completes.
LAST_CONNECTIONS_SECONDS = 0.2
# Workers stop listening one shortly after another. Clients of idle connections that were closed
# before the last one did would connect again, to a listener about to go.
OTHERS_STOP_SECONDS = 0.5

# Linux's number for it; Python's socket module has no name.
_SO_ATTACH_FILTER = 26
# Classic BPF over a TCP header: drop SYN without ACK, the first packet of a connection.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # if that leaves SYN alone:
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else let it through
)


class DrainingServer(uvicorn.Server):
    """Stops without losing clients whose connections the kernel accepted, but not yet we."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, take over what waits in the backlog, then stop as usual."""
        listeners = [
            socket.socket(fileno=os.dup(listener.fileno()))
            for server in self.servers
            for listener in server.sockets
        ]
        # With several workers the listener is everybody's; only the supervisor knows who goes on.
        if self.config.workers == 1:
            for listener in listeners:
                refuse_new_connections(listener)
        await asyncio.sleep(LAST_CONNECTIONS_SECONDS)
        for server in self.servers:
            server.close()
        for listener in listeners:
            await self._accept_rest(listener)
        if self.config.workers > 1:
            await asyncio.sleep(OTHERS_STOP_SECONDS)
        await super().shutdown(sockets)

    async def _accept_rest(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        waiting = []
        with listener, suppress(BlockingIOError):
            while True:
                waiting.append(listener.accept()[0])
        for connection in waiting:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> DeadlineProtocol:
        return DeadlineProtocol(self.config, self.server_state, self.lifespan.state)


def refuse_new_connections(listener: socket.socket) -> None:
    """Let nobody begin to connect, while what has begun completes and can be accepted.

    Closing a listener resets the connections that complete a moment before. Clients that come now
    hear nothing; they try again a second later, and find the port closed, or a new service. Where
    the kernel is not Linux, or forbids it, nothing happens, and that moment remains.
    """
    if not sys.platform.startswith("linux"):
        return
    instructions = b"".join(struct.pack("=HBBI", *instruction) for instruction in _DROP_SYN)
    program = ctypes.create_string_buffer(instructions, len(instructions))
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(program)),
        )
